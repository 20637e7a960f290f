//! Servers of HTTP/1.1 of a few lines; their threads end with the test's process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// A server that gives each request, head and content, to `answer` and writes what it says; with
/// `close` in it, the connection ends there.
pub(crate) fn serve<Answer: AsRef<[u8]>>(
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = answer.clone();
            std::thread::spawn(move || talk(&stream.unwrap(), &*answer));
        }
    });
    address
}

fn talk<Answer: AsRef<[u8]>>(stream: &TcpStream, answer: &dyn Fn(&str) -> Answer) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        let (mut writer, said) = (stream, answer(&request));
        let said = said.as_ref();
        let is_last = said.windows(CLOSE.len()).any(|words| words == CLOSE);
        if writer.write_all(said).is_err() || is_last {
            return;
        }
    }
}

/// A request, head and content; `None` where the connection ended before or within it.
fn read(reader: &mut BufReader<&TcpStream>) -> Option<String> {
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return None;
        }
    }
    if request.contains("transfer-encoding: chunked") {
        while !request.ends_with("\r\n0\r\n\r\n") {
            if reader.read_line(&mut request).unwrap_or(0) == 0 {
                return None;
            }
        }
    }
    let length = request.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        (name == "content-length").then(|| value.parse().unwrap())
    });
    let mut content = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut content).ok()?;
    Some(request + &String::from_utf8_lossy(&content))
}

const CLOSE: &[u8] = b"close";
