//! What peers send: the first byte says which message, the rest is its body.

use hog::formats::wire::{
    Hello, Refuse, decode_ack, decode_forget, decode_welcome, encode_ack, encode_forget, encode_welcome,
};

pub(crate) fn judge(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else {
        return;
    };
    match kind % 5 {
        0 => {
            if let Ok((_, Some(hello))) = Hello::decode(body) {
                assert_eq!(hello.encode(), body);
            }
        }
        1 => {
            if let Ok(held) = decode_welcome(body) {
                assert_eq!(encode_welcome(&held), body);
            }
        }
        2 => {
            if let Ok(acked) = decode_ack(body) {
                assert_eq!(encode_ack(&acked), body);
            }
        }
        3 => {
            if let Ok(streams) = decode_forget(body) {
                assert_eq!(encode_forget(&streams), body);
            }
        }
        _ => {
            if let Ok(refuse) = Refuse::decode(body) {
                assert_eq!(refuse.encode(), body);
            }
        }
    }
}
