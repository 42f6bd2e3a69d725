//! Responses: read from the upstream, written anew for the client.

use httparse::Header;

use super::field::{self, Kind};
use super::{FieldStorage, Framing, Method, Parsed, VIA};

/// A response's head: checked, not yet copied.
#[derive(Debug)]
pub(crate) struct ResponseHead<'s, 'a> {
    /// Bytes of the head.
    pub(crate) len: usize,
    /// 100..=599.
    pub(crate) status: u16,
    /// How the body's end is found on the upstream's connection.
    pub(crate) framing: Framing,
    /// Whether the upstream's connection can serve again once the body has ended.
    pub(crate) reusable: bool,
    /// The protocol of a 101.
    upgrade: Option<&'a [u8]>,
    length: Option<u64>,
    reason: &'a str,
    fields: &'s [Header<'a>],
    has_connection: bool,
}

/// How the client gets a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    /// Whether the body is framed in chunks.
    pub(crate) chunked: bool,
    /// Whether the connection ends with this response.
    pub(crate) close: bool,
    /// Whether an HTTP/1.0 client has to be told that it does not.
    pub(crate) say_keep_alive: bool,
}

/// Reads the head at the start of `bytes`, the answer to a request with `method`.
pub(crate) fn parse<'s, 'a>(
    bytes: &'a [u8],
    method: Method,
    storage: &'s mut FieldStorage<'a>,
) -> Result<Parsed<ResponseHead<'s, 'a>>, &'static str> {
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let len = match config.parse_response_with_uninit_headers(&mut response, bytes, storage) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(Parsed::Partial),
        Err(httparse::Error::TooManyHeaders) => return Err("it has too many header fields"),
        Err(_) => return Err("its head is malformed"),
    };
    let (Some(status @ 100..=599), Some(version)) = (response.code, response.version) else {
        return Err("its status code is none");
    };
    let old = version == 0;
    let mut head = ResponseHead {
        len,
        status,
        framing: Framing::None,
        reusable: !old,
        upgrade: None,
        length: None,
        reason: response.reason.unwrap_or_default(),
        fields: &[],
        has_connection: false,
    };
    let mut coding = None;
    for header in response.headers.iter_mut() {
        let value = header.value.trim_ascii();
        header.value = value;
        match field::kind(header.name) {
            Kind::ContentLength => {
                let length =
                    field::content_length(value).ok_or("its Content-Length is not a number")?;
                if head.length.is_some_and(|known| known != length) {
                    return Err("it has two different Content-Lengths");
                }
                head.length = Some(length);
            }
            Kind::TransferEncoding if coding.is_some() => {
                return Err("it has more than one Transfer-Encoding");
            }
            Kind::TransferEncoding => coding = Some(value),
            Kind::Connection => {
                head.has_connection = true;
                if field::list(value).any(|option| option.eq_ignore_ascii_case(b"close")) {
                    head.reusable = false;
                }
            }
            Kind::Upgrade => head.upgrade = Some(value),
            _ => {}
        }
    }
    head.fields = response.headers;
    head.find_end(coding, old, method)?;
    Ok(Parsed::Complete(head))
}

impl ResponseHead<'_, '_> {
    /// RFC 9112 §6.3.
    fn find_end(
        &mut self,
        coding: Option<&[u8]>,
        old: bool,
        method: Method,
    ) -> Result<(), &'static str> {
        if coding.is_some() && old {
            return Err("it has a Transfer-Encoding in HTTP/1.0");
        }
        if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case(b"chunked")) {
            return Err("its Transfer-Encoding is not chunked");
        }
        if coding.is_some() && self.length.take().is_some() {
            // The chunks are what counts; who sends both is not trusted with another request.
            self.reusable = false;
        }
        let announced = coding.is_some() || self.length.is_some_and(|length| length > 0);
        self.framing = match (coding, self.length) {
            _ if method == Method::Head
                || self.status < 200
                || matches!(self.status, 204 | 304) =>
            {
                // Some send the body all the same, and it would be taken for the next answer.
                self.reusable &= !announced;
                Framing::None
            }
            (Some(_), _) => Framing::Chunked,
            (None, Some(length)) => Framing::Length(length),
            (None, None) => Framing::UntilClose,
        };
        if self.status == 204 || self.status < 200 {
            self.length = None;
        }
        if self.framing == Framing::UntilClose {
            self.reusable = false;
        }
        Ok(())
    }

    /// Appends this response as it goes to the client.
    pub(crate) fn write(&self, delivery: Delivery, out: &mut Vec<u8>) {
        self.write_start(out);
        if delivery.chunked {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
        } else if let Some(length) = self.length {
            out.extend_from_slice(b"content-length: ");
            field::put_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        let connection = match (self.write_offer(out), delivery) {
            (true, Delivery { close: true, .. }) => "connection: upgrade, close\r\n",
            (true, _) => "connection: upgrade\r\n",
            (false, Delivery { close: true, .. }) => "connection: close\r\n",
            (false, it) if it.say_keep_alive => "connection: keep-alive\r\n",
            (false, _) => "",
        };
        out.extend_from_slice(connection.as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    /// What a 426 asks for is its whole point, and it has to say so (RFC 9110 §15.5.22). Elsewhere the field is an offer to us.
    fn write_offer(&self, out: &mut Vec<u8>) -> bool {
        if self.status != 426 || self.upgrade.is_none() {
            return false;
        }
        let offers = self.fields.iter();
        for header in offers.filter(|it| field::kind(it.name) == Kind::Upgrade) {
            field::put(out, b"upgrade", header.value);
        }
        true
    }

    /// Appends this 101 as it goes to the client.
    pub(crate) fn write_switch(&self, out: &mut Vec<u8>) {
        self.write_start(out);
        out.extend_from_slice(b"connection: upgrade\r\n");
        if let Some(protocol) = self.upgrade {
            field::put(out, b"upgrade", protocol);
        }
        out.extend_from_slice(b"\r\n");
    }

    fn write_start(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1 ");
        field::put_decimal(out, u64::from(self.status));
        out.push(b' ');
        out.extend_from_slice(self.reason.as_bytes());
        out.extend_from_slice(b"\r\n");
        for header in self.fields {
            let own = match field::kind(header.name) {
                Kind::Pass | Kind::ForwardedFor | Kind::ForwardedHost | Kind::ForwardedProto => {
                    true
                }
                // These mean nothing in a response; pass what an application may have meant by them.
                Kind::Host | Kind::Expect => true,
                _ => false,
            };
            if own && !(self.has_connection && named_by_connection(self.fields, header.name)) {
                field::put(out, header.name.as_bytes(), header.value);
            }
        }
        out.extend_from_slice(VIA);
    }
}

fn named_by_connection(fields: &[Header<'_>], name: &str) -> bool {
    fields.iter().any(|header| {
        header.name.eq_ignore_ascii_case("connection")
            && field::list(header.value).any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
    })
}

#[cfg(test)]
mod tests;
