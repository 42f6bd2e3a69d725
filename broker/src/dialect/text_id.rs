//! A delivery's number where a protocol has a client's address: sixteen hexadecimal digits.
//!
//! Text, because some workers read addresses as text and would mangle other bytes.

use bytes::Bytes;

use crate::core::message::Delivery;

pub(super) fn write_delivery(delivery: Delivery) -> Bytes {
    Bytes::from(format!("{:016x}", delivery.0))
}

pub(super) fn read_delivery(frame: &[u8]) -> Option<Delivery> {
    let digits = frame.len() == 16 && frame.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(frame).ok().filter(|_| digits)?;
    u64::from_str_radix(text, 16).ok().map(Delivery)
}
