//! A content header that is accepted goes out as it came in, and its properties survive being rewritten.
#![no_main]

use haremq::amqp::{ContentHeader, Properties, PropertiesWriter, frame};
use haremq::ids::ChannelNumber;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    let Ok(header) = ContentHeader::decode(payload) else { return };
    let mut out = Vec::new();
    header.encode(ChannelNumber(9), &mut out);
    let (frame, _) = frame::decode(&out, u32::MAX).expect("a frame").expect("a whole one");
    assert_eq!(frame.payload, payload);

    let rewritten = all(header.properties).finish();
    assert_eq!(rewritten, header.properties.as_bytes());
});

/// Every property, read through its accessor.
fn all(properties: Properties<'_>) -> PropertiesWriter<'_> {
    PropertiesWriter {
        content_type: properties.content_type(),
        content_encoding: properties.content_encoding(),
        headers: properties.headers(),
        delivery_mode: properties.delivery_mode(),
        priority: properties.priority(),
        correlation_id: properties.correlation_id(),
        reply_to: properties.reply_to(),
        expiration: properties.expiration(),
        message_id: properties.message_id(),
        timestamp: properties.timestamp(),
        type_: properties.type_(),
        user_id: properties.user_id(),
        app_id: properties.app_id(),
        cluster_id: properties.cluster_id(),
    }
}
