//! Logins that take a slow hash, and those that guess.

use super::hall::{Hall, consume, declare};
use crate::access::{Access, Algorithm, Change, Claim, PasswordHash, Salt, Tags, User};
use crate::amqp::frame::{FrameKind, encode_frame};
use crate::ids::{ChannelNumber, ConnectionId};
use crate::limits::CLAIMS_OUT_MAX;
use crate::shard::desk::Order;
use crate::shard::{Peer, Rest};

const SALT: Salt = Salt([7; 16]);
const SECOND_NS: u64 = 1_000_000_000;

/// Ann's password is hashed slowly, that of guest fast.
fn hall() -> Hall {
    let hash = PasswordHash::new(Algorithm::Argon2id, b"secret", SALT);
    let ann = User::new(b"ann", hash, Tags::default()).unwrap();
    Hall::of(1, Access::guest().apply(Change::UserPut(ann)))
}

fn peer(address: &str) -> Peer {
    let address = address.parse().unwrap();
    Peer { address, local: address, internal: false, trusted: false }
}

fn ann(hall: &mut Hall, password: &str) -> usize {
    hall.introduce(0, peer("127.0.0.1:1"), format!("\0ann\0{password}").as_bytes())
}

fn verdict(hall: &mut Hall, (id, claim): (ConnectionId, Claim)) {
    hall.shards[0].take_verdict(id, &claim.judge(), 0);
    hall.turn();
}

fn is_silent(hall: &Hall, connection: usize) -> bool {
    hall.received[connection].is_empty()
}

#[test]
fn others_are_served_while_a_password_is_judged_and_then_the_login_goes_on() {
    let mut hall = hall();
    let ann = ann(&mut hall, "secret");
    let slot = hall.connections[ann].1;
    let mut early = Vec::new();
    encode_frame(&mut early, FrameKind::Heartbeat, ChannelNumber(0), |_| {});
    let received = hall.shards[0].receive(slot, &early, 0);
    assert_eq!((received.consumed, received.rest), (0, Rest::More), "what comes meanwhile waits");
    assert!(!hall.shards[0].may_read(slot) && is_silent(&hall, ann));

    let other = hall.connect(0);
    hall.send(other, &declare("walk"));
    hall.expect(other, "queue.declare-ok");
    hall.send(other, &consume("walk", true));
    hall.expect(other, "basic.consume-ok");
    hall.publish(other, "walk", b"hello");
    assert_eq!(hall.delivery(other), b"hello");

    let claim = hall.shards[0].next_claim().expect("ann's");
    assert!(hall.shards[0].next_claim().is_none() && is_silent(&hall, ann));
    verdict(&mut hall, claim);
    let mut resumed = Vec::new();
    hall.shards[0].take_resumed(&mut resumed);
    assert!(resumed == [slot] && hall.shards[0].may_read(slot));
    hall.expect(ann, "connection.tune");
    hall.bytes(ann, &early);
}

#[test]
fn a_wrong_password_is_refused_as_with_a_fast_hash() {
    let mut hall = hall();
    let (slow, fast) = (ann(&mut hall, "wrong"), hall.introduce(0, peer("127.0.0.1:1"), b"\0guest\0wrong"));
    let claim = hall.shards[0].next_claim().unwrap();
    verdict(&mut hall, claim);
    assert!(is_silent(&hall, slow) && is_silent(&hall, fast));
    let slots = [slow, fast].map(|connection| hall.connections[connection].1);
    for (now, closes) in [(3 * SECOND_NS - 1, false), (3 * SECOND_NS, true)] {
        hall.shards[0].tick(now);
        assert_eq!(slots.map(|slot| hall.shards[0].wants_close(slot)), [closes; 2]);
    }
    assert_eq!(hall.shards[0].counters().logins_refused, 2);
}

#[test]
fn a_verdict_on_who_is_gone_and_on_a_password_that_is_no_more_lets_nobody_in() {
    let mut hall = hall();
    let (gone, changed) = (ann(&mut hall, "secret"), ann(&mut hall, "secret"));
    let claims = [(); 2].map(|()| hall.shards[0].next_claim().unwrap());
    let slot = hall.connections[gone].1;
    hall.shards[0].eof(slot, 0);
    assert_eq!(hall.shards[0].open(peer("127.0.0.1:2"), 0), Some(slot), "somebody else has its slot");
    let hash = PasswordHash::new(Algorithm::Sha256, b"other", SALT);
    let put = Change::UserPut(User::new(b"ann", hash, Tags::default()).unwrap());
    hall.shards[0].order(1, Order::ChangeAccess(vec![put]), 0);
    hall.turn();
    claims.into_iter().for_each(|claim| verdict(&mut hall, claim));
    assert!(is_silent(&hall, gone) && is_silent(&hall, changed));
    assert_eq!(hall.shards[0].counters().logins_refused, 1);
}

#[test]
fn the_thread_has_few_claims_at_a_time_and_none_of_who_has_gone() {
    let mut hall = hall();
    let waiting: Vec<usize> = (0..CLAIMS_OUT_MAX + 3).map(|_| ann(&mut hall, "secret")).collect();
    let mut out: Vec<_> = std::iter::from_fn(|| hall.shards[0].next_claim()).collect();
    assert_eq!(out.len(), CLAIMS_OUT_MAX);
    let slot = |connection: usize| hall.connections[waiting[connection]].1;
    let [gone, next] = [slot(CLAIMS_OUT_MAX), slot(CLAIMS_OUT_MAX + 1)];
    hall.shards[0].eof(gone, 0);
    verdict(&mut hall, out.remove(0));
    hall.expect(waiting[0], "connection.tune");
    assert_eq!(hall.shards[0].next_claim().unwrap().0.slot, next);
    assert!(hall.shards[0].next_claim().is_none());
}

#[test]
fn the_socket_of_who_guesses_is_kept_longer_and_longer_and_the_right_password_is_let_in() {
    let mut hall = hall();
    let mut kept_s = Vec::new();
    let guess = |hall: &mut Hall, address| {
        let connection = hall.introduce(0, peer(address), b"\0guest\0wrong");
        let slot = hall.connections[connection].1;
        let shard = &mut hall.shards[0];
        let closes = |at: &u64| {
            shard.tick(at * SECOND_NS);
            shard.wants_close(slot)
        };
        let kept_s = (0..60).find(closes).unwrap();
        shard.closed(slot, 0);
        // The next has its slot.
        hall.connections[connection].0 = usize::MAX;
        kept_s
    };
    (0..17).for_each(|_| kept_s.push(guess(&mut hall, "10.0.0.1:1")));
    assert_eq!(kept_s, [3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 5, 7, 11, 19, 33, 33]);
    assert_eq!(guess(&mut hall, "10.0.0.2:1"), 3);
    let [suspect, other] =
        ["10.0.0.1:2", "10.0.0.2:2"].map(|address| hall.introduce(0, peer(address), b"\0ann\0secret"));
    // It waits behind those that are not suspected, but is let in.
    for expected in [other, suspect] {
        let claim = hall.shards[0].next_claim().unwrap();
        verdict(&mut hall, claim);
        hall.expect(expected, "connection.tune");
    }
}

#[test]
fn the_api_logs_in_by_the_hash_that_it_has_judged_and_a_client_cannot() {
    let mut hall = hall();
    let hash = PasswordHash::new(Algorithm::Argon2id, b"secret", SALT).text();
    let response = format!("\0ann\0{hash}");
    let api = hall.introduce(0, Peer { internal: true, ..peer("127.0.0.1:1") }, response.as_bytes());
    hall.expect(api, "connection.tune");
    let wrong = hall.introduce(0, Peer { internal: true, ..peer("127.0.0.1:1") }, b"\0ann\0secret");
    assert!(is_silent(&hall, wrong) && hall.shards[0].next_claim().is_none());
    let client = hall.introduce(0, peer("127.0.0.1:1"), response.as_bytes());
    let claim = hall.shards[0].next_claim().unwrap();
    verdict(&mut hall, claim);
    assert!(is_silent(&hall, client));
    let nobody = hall.introduce(0, Peer { internal: true, ..peer("127.0.0.1:1") }, b"\0nobody\0");
    assert!(is_silent(&hall, nobody));
}
