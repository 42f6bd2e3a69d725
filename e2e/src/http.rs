//! A small HTTP/1.1 client over one keep-alive connection.
//!
//! Written apart from turno's own codec, so that a mistake there is not repeated, and so forgiven, here. It reads bodies by
//! content-length or chunks and treats everything it does not understand as a failure of the server.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No answer of these tests takes longer, slow replicas and reloads included.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// The largest body that is read.
const BODY_LIMIT: u64 = 64 * 1024 * 1024;

/// An answer, read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in the order of arrival.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn open(server: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        Ok(Connection {
            stream: BufReader::new(stream),
            host: server.to_string(),
        })
    }

    /// Waits this long for each next piece of an answer, instead of the harness's usual limit.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn patience(&mut self, limit: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(limit))
    }

    /// Asks for `path`.
    ///
    /// # Errors
    /// If the connection breaks or the answer is not HTTP/1.1.
    pub fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.request("GET", path, &[], b"")
    }

    /// Sends a request and reads its answer. A body is announced by content-length.
    ///
    /// # Errors
    /// If the connection breaks or the answer is not HTTP/1.1.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut message = format!("{method} {path} HTTP/1.1\r\n");
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            message += &format!("Host: {}\r\n", self.host);
        }
        for (name, value) in headers {
            message += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            message += &format!("Content-Length: {}\r\n", body.len());
        }
        message += "\r\n";
        let mut message = message.into_bytes();
        message.extend_from_slice(body);
        self.stream.get_mut().write_all(&message)?;
        self.read_answer(method)
    }

    fn read_answer(&mut self, method: &str) -> io::Result<Answer> {
        let status_line = self.line()?;
        let status = status_line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|code| code.parse::<u16>().ok())
            .ok_or_else(|| broken(format!("not a status line: {status_line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| broken(format!("not a header: {line:?}")))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        if (100..200).contains(&status) {
            return self.read_answer(method);
        }
        if method != "HEAD" && status != 204 && status != 304 {
            answer.body = self.read_body(&answer)?;
        }
        Ok(answer)
    }

    fn read_body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        if answer
            .header("transfer-encoding")
            .is_some_and(|value| value == "chunked")
        {
            return self.read_chunks();
        }
        let mut body = Vec::new();
        if let Some(length) = answer.header("content-length") {
            let length = length
                .parse::<u64>()
                .map_err(|_| broken(format!("length {length:?}")))?;
            if (&mut self.stream)
                .take(length.min(BODY_LIMIT))
                .read_to_end(&mut body)? as u64
                != length
            {
                return Err(broken("the body ended early".to_owned()));
            }
        } else {
            (&mut self.stream).take(BODY_LIMIT).read_to_end(&mut body)?;
        }
        Ok(body)
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size =
                u64::from_str_radix(size, 16).map_err(|_| broken(format!("chunk {line:?}")))?;
            let got = (&mut self.stream)
                .take(size.min(BODY_LIMIT))
                .read_to_end(&mut body)? as u64;
            if got != size {
                return Err(broken("a chunk ended early".to_owned()));
            }
            // The end of the chunk's data, or of the trailer section after the last chunk.
            while !self.line()?.is_empty() {}
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            ));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

/// One request on a connection of its own.
///
/// # Errors
/// If the server is not there or does not answer in HTTP/1.1.
pub fn get(server: SocketAddr, path: &str) -> io::Result<Answer> {
    Connection::open(server)?.request("GET", path, &[("Connection", "close")], b"")
}

fn broken(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What the client makes of `reply`, which a server sends after it has read a head.
    fn answer_to(reply: &'static str) -> io::Result<Answer> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("the client connects");
            let mut reader = BufReader::new(stream);
            let mut line = String::new();
            while reader.read_line(&mut line).expect("a head") > 2 {
                line.clear();
            }
            reader
                .get_mut()
                .write_all(reply.as_bytes())
                .expect("the client reads");
        });
        let answer = get(address, "/");
        server.join().expect("the server does not panic");
        answer
    }

    #[test]
    fn bodies_by_length_by_chunks_and_by_the_end() {
        for (reply, body) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", "hi"),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                "",
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nh\r\n1;x\r\ni\r\n0\r\n\r\n",
                "hi",
            ),
            ("HTTP/1.1 200 OK\r\n\r\nhi", "hi"),
        ] {
            let answer = answer_to(reply).expect("it is an answer");
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, body),
                "{reply}"
            );
        }
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        for reply in [
            "",
            "HTTP/1.1 200",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhi",
        ] {
            assert!(answer_to(reply).is_err(), "{reply}");
        }
    }
}
