//! Where an answer ends: just enough HTTP/1.1 to know it, for servers that announce a length.

#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Incomplete,
    Complete {
        status: u16,
        length: usize,
        close: bool,
    },
    /// Not HTTP, or framed in a way no target of ours answers a hit with.
    Unreadable,
}

pub fn read(bytes: &[u8]) -> Answer {
    let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if bytes.len() > 16 * 1024 {
            Answer::Unreadable
        } else {
            Answer::Incomplete
        };
    };
    let Some(status) = status(bytes) else {
        return Answer::Unreadable;
    };
    let (mut body, mut close) = (0, false);
    for line in bytes[..head].split(|byte| *byte == b'\n').skip(1) {
        if let Some(value) = value(line, b"content-length:") {
            match std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse::<usize>().ok())
            {
                Some(length) => body = length,
                None => return Answer::Unreadable,
            }
        } else if let Some(value) = value(line, b"connection:") {
            close = value.eq_ignore_ascii_case(b"close");
        } else if value(line, b"transfer-encoding:").is_some() {
            return Answer::Unreadable;
        }
    }
    let length = head + 4 + if status == 204 { 0 } else { body };
    if bytes.len() < length {
        Answer::Incomplete
    } else {
        Answer::Complete {
            status,
            length,
            close,
        }
    }
}

fn status(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| rest.trim_ascii())
}
