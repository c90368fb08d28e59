//! What was decoded encodes to a frame that decodes to the same, and errors name the method that was meant.
#![no_main]

use haremq::amqp::method::method_name;
use haremq::amqp::refusal::method_error;
use haremq::amqp::{Frame, FrameKind, Method, MethodError, frame};
use haremq::ids::ChannelNumber;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    match Method::decode(payload) {
        Ok(method) => assert_survives(method, payload),
        Err(error) => assert_names_the_method(error, payload),
    }
});

fn assert_survives(method: Method<'_>, payload: &[u8]) {
    let (class_id, method_id) = method.ids();
    assert_eq!(method_name(class_id, method_id), Some(method.name()));
    let mut out = Vec::new();
    method.encode(ChannelNumber(9), &mut out);
    let (frame, len) = frame::decode(&out, u32::MAX).expect("a frame").expect("a whole one");
    assert_eq!((frame.channel, len), (ChannelNumber(9), out.len()));
    assert_eq!(Method::decode(frame.payload), Ok(method));
    // Reserved arguments are the only ones that may shrink.
    assert!(frame.payload.len() <= payload.len());
}

fn assert_names_the_method(error: MethodError, payload: &[u8]) {
    let (MethodError::Unknown { class_id, method_id }
    | MethodError::Length { class_id, method_id }
    | MethodError::Syntax { class_id, method_id, .. }
    | MethodError::Utf8 { class_id, method_id }) = error;
    if let Some(ids) = payload.first_chunk::<4>() {
        assert_eq!([class_id.to_be_bytes(), method_id.to_be_bytes()].concat(), ids);
    }
    let frame = Frame { kind: FrameKind::Method, channel: ChannelNumber(9), payload };
    let known = method_name(class_id, method_id).is_some();
    assert_eq!(known, !matches!(error, MethodError::Unknown { .. }) && payload.len() >= 4);
    assert!(method_error(error, &frame).reply_text().len() <= 255);
}
