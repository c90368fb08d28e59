//! Every constant limit: its unit, where it comes from, and what must hold between limits.
//!
//! What happens at a bound is written where the bound is checked.

/// Largest frame, bytes, that we offer in `connection.tune` (RabbitMQ's default).
pub const FRAME_MAX_BYTES: u32 = 131_072;
/// Largest frame, bytes, until `connection.tune-ok` (RabbitMQ's `initial_frame_max`; AMQP 0-9-1 section 4.2.3).
pub const FRAME_MIN_BYTES: u32 = 4_096;
/// Bytes that RabbitMQ tolerates above `frame_max` (FRAME_SIZE_FUDGE).
pub const FRAME_SLACK_BYTES: u32 = 8;
/// Channels of one connection (RabbitMQ's default).
pub const CHANNELS_MAX: u16 = 2_047;
/// Seconds between heartbeats that we propose (RabbitMQ's default).
pub const HEARTBEAT_S: u16 = 60;
/// Largest message body, bytes (the default of RabbitMQ 3.13).
pub const BODY_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Longest TTL or expiry, ms: ten years of 365 days (RabbitMQ's ?MAX_EXPIRY_TIMER).
pub const EXPIRY_MS_MAX: u64 = 10 * 365 * 24 * 60 * 60 * 1000;
/// Returns of a message to a quorum queue before it is dead-lettered, unless the queue says otherwise (the default of
/// RabbitMQ 4.0).
pub const QUORUM_DELIVERY_LIMIT: u32 = 20;
/// Bytes of a user's name: it travels as the `user_id` of messages, a short string (AMQP 0-9-1 section 4.2.5.3).
pub const USER_NAME_BYTES_MAX: usize = 255;
/// Tags of one user, and bytes of one.
pub const TAGS_MAX: usize = 64;
pub const TAG_BYTES_MAX: usize = 255;
/// Bytes of a pattern in a permission.
pub const PATTERN_BYTES_MAX: usize = 4 * 1024;
/// Bytes of client ids that are filled into one topic pattern.
pub const CLIENT_ID_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a compiled pattern, and of the states that each thread finds while it matches.
pub const REGEX_BYTES_MAX: usize = 256 * 1024;
/// How deep groups may lie in a pattern.
pub const REGEX_DEPTH_MAX: u32 = 50;
/// Largest costs of an argon2id hash that is read: memory in KiB, passes, lanes. A login takes that much.
pub const ARGON2_KIB_MAX: u32 = 64 * 1024;
pub const ARGON2_PASSES_MAX: u32 = 8;
pub const ARGON2_LANES_MAX: u32 = 4;
/// Bytes that a client may have put in front of a queue's name that the server makes (RabbitMQ 4.4).
pub const NAME_PREFIX_BYTES_MAX: usize = 64;

/// Time for the whole handshake, ns (RabbitMQ's `handshake_timeout`).
pub const HANDSHAKE_TIMEOUT_NS: u64 = 10_000_000_000;
/// How long a refused login is kept waiting, ns (RabbitMQ's SILENT_CLOSE_DELAY).
pub const REFUSAL_DELAY_NS: u64 = 3_000_000_000;
/// How long we wait for `connection.close-ok`, ns.
pub const CLOSE_OK_TIMEOUT_NS: u64 = 3_000_000_000;
/// Connections of one server (reliability.md 4.4).
pub const CONNECTIONS_MAX: usize = 65_536;
/// Connections of one server that have not logged in yet (reliability.md 4.4).
pub const UNAUTHENTICATED_MAX: usize = 1_000;

/// Sockets of one address that a shard keeps longer than `REFUSAL_DELAY_NS` after a refused login; and of all of them, as the
/// share of those that may be there without a login.
pub const KEPT_LONGER_OF_ADDRESS_MAX: usize = 16;
pub const KEPT_LONGER_SHARE: usize = 4;
/// Claims of one shard that the hashing thread has: the next is there when it has done one, and what waits at the shard
/// costs no hash if the client goes.
pub const CLAIMS_OUT_MAX: usize = 4;

/// Sessions with the server itself that the HTTP API has at a time, each for one request.
pub const SESSIONS_MAX: usize = 64;
/// How long such a session waits for each answer, ms; publishers wait during a memory alarm, and their HTTP requests no
/// longer than that.
pub const SESSION_WAIT_MS: u64 = 10_000;
/// Bytes of an answer with messages out of a queue; it ends behind the message that reaches them.
pub const GET_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Things that the control shard looks at for one order of the HTTP API; longer lists take several.
pub const LISTED_MAX: usize = 512;

/// Bytes that one read may bring: smaller costs up to 80 % more per message, larger gains nothing.
pub const READ_BYTES: usize = 65_536;
/// Bytes of output over all connections at which `receive` stops in mid-batch and asks for a flush.
pub const FLUSH_BYTES: usize = 256 * 1024;
/// Bytes that the deliveries of one connection may wait in its outbox, shared out as the windows of its consumers.
pub const OUTBOX_BYTES: usize = 1024 * 1024;
/// Smallest window of a consumer, bytes; a window bounds the bytes sent before the socket took the last ones.
pub const WINDOW_BYTES_MIN: usize = 4 * 1024;
/// Bytes of replies in the outbox (a client that pipelines requests and never reads) at which reading stops.
pub const OUTBOX_HOLD_BYTES: usize = 2 * OUTBOX_BYTES;
/// Unsent bytes of a connection from which on direct replies to it are dropped: a requester that does not read.
pub const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Capacity, bytes, that an emptied outbox may keep.
pub const OUTBOX_KEEP_BYTES: usize = 512 * 1024;
/// Bytes of frames behind parked channels, per connection, at which reading stops.
pub const PARKED_BYTES_MAX: usize = 128 * 1024;
/// Bytes of publishes, and of what waits behind them, that a connection keeps during a memory alarm; then its socket
/// is not read.
pub const BLOCKED_PUBLISH_BYTES_MAX: usize = 1024 * 1024;

/// Size of a message page, bytes.
pub const PAGE_BYTES: usize = 256 * 1024;
/// Pages are carved from slabs of this many bytes, advised to be huge pages.
pub const SLAB_BYTES: usize = 64 * 1024 * 1024;
/// Messages above this many bytes are kept as one shared buffer instead of in a page.
pub const PAGED_BYTES_MAX: usize = 64 * 1024;
/// A publish that does not end within this many bytes is assembled frame by frame.
pub const CONTIGUOUS_BYTES_MAX: usize = 32 * 1024;

/// Bytes at which a group of records goes to the flusher, though it has others to write: it takes all there are at once. A
/// group is padded to 4 KiB.
pub const GROUP_BYTES: usize = 32 * 1024;
/// Bytes that wait to be written to a journal at which its shard reads no more publishes.
pub const JOURNAL_BEHIND_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of messages that are recorded again in one piece of work, to free their segment: about 100 us.
pub const MOVE_BYTES: usize = 256 * 1024;
/// How long a record may wait that nobody waits for, ns (DESIGN.md 12, rule 17).
pub const LAZY_NS: u64 = 50_000_000;

/// Bytes of the topology's log at which a snapshot may be written into it, so that what lies before can go.
pub const LOG_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// How many times the last snapshot the log must have grown to for the next: each byte recorded costs a quarter of one more.
pub const LOG_GROWTH: u64 = 4;
/// Size of a journal's segment, bytes; one group that is larger gets a segment of its own size.
pub const JOURNAL_SEGMENT_BYTES: u32 = 64 * 1024 * 1024;
/// Size of a segment of the topology's journal, bytes: there is little of it, and it is read before all else.
pub const TOPOLOGY_SEGMENT_BYTES: u32 = 4 * 1024 * 1024;
/// Bytes of a segment's file that are read; what is behind belongs to no group, as a group is far smaller.
pub const JOURNAL_SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Groups between a shard and its flusher, and emptied buffers on their way back.
pub const JOURNAL_GROUPS: usize = 256;
/// Capacity, bytes, that an emptied buffer of a group may keep.
pub const JOURNAL_BUFFER_KEEP_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of groups at which a flusher takes no more before it writes: about 10 ms of a fast disk.
pub const JOURNAL_WRITE_BYTES: usize = 8 * 1024 * 1024;
/// Files kept for the next segments of a journal; one is made ahead, freed ones fill up the rest.
pub const JOURNAL_SPARES: usize = 2;
/// Bytes of a file made ahead that are written with zeros at a time, about 1 ms: so long may one group in some hundred wait for it.
pub const JOURNAL_ZERO_BYTES: u64 = 1024 * 1024;
/// Most bytes of a write that are written and synced faster where zeros were before than those zeros cost.
pub const JOURNAL_ZERO_WORTH_BYTES: usize = 64 * 1024;
/// Bytes in front of the next group that should have been written before.
pub const JOURNAL_ZERO_AHEAD_BYTES: u64 = 4 * 1024 * 1024;
/// Time between two looks at the room on the disk, and between two tries to make a segment, ns.
pub const JOURNAL_SPACE_LOOK_NS: u64 = 1_000_000_000;
/// Rest after which a flusher writes down up to where all is synced, ns.
pub const JOURNAL_STAMP_AFTER_NS: u64 = 500_000_000;
/// Bytes that one read of a journal's file brings where it is not wanted whole.
pub const JOURNAL_READ_BYTES: usize = 1024 * 1024;

/// Commands in the ring between two shards.
pub const RING_COMMANDS: usize = 128;
/// Commands in a ring beyond which a shard sends nothing that can wait.
pub const COMMANDS_AHEAD: usize = 16;
/// Bytes at which a parcel is closed and the next begun.
pub const PARCEL_BYTES: usize = 64 * 1024;
/// Records at which a parcel is closed and the next begun.
pub const PARCEL_RECORDS: usize = 1_024;
/// Emptied parcels that a shard keeps for its next ones.
pub const PARCELS_KEPT: usize = 64;
/// Records taken from the ring of one peer in one drain, or a parcel more: about 100 us of work.
pub const DRAIN_RECORDS: usize = 2_048;
/// As how many records a command counts that is no parcel.
pub const COMMAND_RECORDS: usize = 16;

/// Messages that one connection gives back in a turn: about 20 us with the deliveries that follow.
pub const REQUEUES: usize = 32;
/// Deliveries from backlogs in one piece of work.
pub const PUMP_DELIVERIES: usize = 2_048;
/// Bytes that a commit brings to queues in one piece of work, about 100 us.
pub const COMMIT_BYTES: usize = 512 * 1024;
/// As how many bytes a commit counts a message, each of its queues and each settlement besides its size.
pub const COMMIT_ENTRY_BYTES: usize = 256;
/// Steps of the timing wheel in one piece of work: about 100 us.
pub const TIMER_STEPS: usize = 2_048;
/// Dead letters rewritten and routed in one piece of work: about 200 us.
pub const LETTERS: usize = 128;
/// Patterns of policies tried in one piece of work, as what is under them goes by others: about 200 us.
pub const POLICY_MATCHES: usize = 2_048;
/// Messages of a queue that are counted, or dropped, in one piece of work because its policies have changed.
pub const FIT_MESSAGES: usize = 2_048;
/// Dead letters on the way at which a queue that does not fit its policies drops no more.
pub const FIT_LETTERS_MAX: usize = 8_192;
/// Entries requeued or freed in one piece of work.
pub const SWEEP_ENTRIES: usize = 8_192;
/// Bindings of a removed queue or exchange that a router forgets in one piece of work: about 200 us.
pub const UNLINKS: usize = 1_024;
/// Exchanges, queues and bindings that a snapshot of the topology passes in one piece of work: about 200 us.
pub const SNAPSHOT_THINGS: usize = 512;
/// Consumers of a channel with a limit of its own that are looked at in one piece of work.
pub const LEND_CONSUMERS: usize = 256;
/// Binds behind one another on a channel that go to the control shard together: about 200 us of its work.
pub const BINDS_TOGETHER: usize = 64;
/// Queues through which a message may be dead-lettered without anybody's rejecting it, if it comes to none of them
/// twice. Bounds what its headers grow by; RabbitMQ has no such limit.
pub const AUTOMATIC_DEATHS_MAX: usize = 128;
/// Consumers of one channel.
pub const CONSUMERS_PER_CHANNEL_MAX: usize = 65_535;

/// Notes for the log that wait at a shard, and again in front of the thread that writes them: those of 20 ms at 50,000
/// connections a second, or of a slow reader of the log.
pub const NOTES_MAX: usize = 4_096;

const _: () = assert!(SLAB_BYTES.is_multiple_of(PAGE_BYTES), "pages fill their slab");
const _: () =
    assert!(PAGED_BYTES_MAX <= PAGE_BYTES / 4, "a page holds several of the largest paged messages");
const _: () = assert!(CONTIGUOUS_BYTES_MAX <= READ_BYTES, "a contiguous publish fits one read");
const _: () = assert!(CONTIGUOUS_BYTES_MAX <= PAGED_BYTES_MAX, "a contiguous publish fits a page");
const _: () = assert!(WINDOW_BYTES_MIN <= OUTBOX_BYTES);
const _: () = assert!(DRAIN_RECORDS <= PUMP_DELIVERIES, "what comes in by one ring can also go out");
const _: () = assert!(BODY_BYTES_MAX < JOURNAL_SEGMENT_BYTES_MAX / 2, "the largest group is read whole");

/// Queues of a piece that is told to who looks: some 100 us.
pub const LOOK_QUEUES: usize = 500;
/// Connections, channels and consumers of such a piece.
pub const LOOK_CHANNELS: usize = 250;
pub const LOOK_EXCHANGES: usize = 500;
/// Ready messages that are looked at, or taken out, for one order of the HTTP API, and bytes of them that are copied: some
/// 50 us.
pub const PEEK_MESSAGES: usize = 100;
pub const PEEK_BYTES: usize = 256 * 1024;
/// Messages that one request may go through in search of some; who wants more asks again with the cursor.
pub const PEEK_REQUEST_MESSAGES: u64 = 20_000;

/// The socket of `haremq ctl`, in the data folder.
pub const CTL_SOCKET: &str = "ctl.sock";
/// What a refusal is called over it while the application is stopped.
pub const APP_STOPPED: &str = "app_stopped";
