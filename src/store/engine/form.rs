//! multipart/form-data, the shape in which clients send a statement together with `param_*` values.

/// The fields of a form, by name, as sent. `None` where the body is not a form with this boundary.
pub fn fields<'b>(content_type: &str, body: &'b [u8]) -> Option<Vec<(String, &'b [u8])>> {
    let boundary = boundary(content_type)?;
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // The first delimiter has no line end before it.
    let mut rest = body.strip_prefix(&delimiter[2..])?;
    let mut fields = Vec::new();
    while !rest.starts_with(b"--") {
        let part = rest.strip_prefix(b"\r\n")?;
        let head_end = find(part, b"\r\n\r\n")?;
        let (head, value) = (&part[..head_end], &part[head_end + 4..]);
        let end = find(value, &delimiter)?;
        fields.push((name(head)?, &value[..end]));
        rest = &value[end + delimiter.len()..];
    }
    Some(fields)
}

pub fn is_form(content_type: &str) -> bool {
    content_type.get(..19).is_some_and(|start| start.eq_ignore_ascii_case("multipart/form-data"))
}

fn boundary(content_type: &str) -> Option<&str> {
    let (_, value) = content_type.split_once("boundary=")?;
    let value = value.split(';').next()?.trim().trim_matches('"');
    (!value.is_empty()).then_some(value)
}

fn name(head: &[u8]) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    let (_, after) = head.split_once(" name=\"").or_else(|| head.split_once(";name=\""))?;
    after.split('"').next().map(str::to_owned)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_gives_back_its_fields_with_any_bytes_inside() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT\r\n\r\n{x:String}\r\n--b\r\n\
            Content-Disposition: form-data; name=\"param_x\"\r\nContent-Type: text/plain\r\n\r\n--b\n\r\n--b--\r\n";
        let fields = fields("multipart/form-data; boundary=b", body).unwrap();
        assert_eq!(fields[0], ("query".to_owned(), &b"SELECT\r\n\r\n{x:String}"[..]));
        assert_eq!(fields[1], ("param_x".to_owned(), &b"--b\n"[..]));
        assert_eq!(fields.len(), 2);
    }

    #[test]
    fn a_broken_form_is_no_form() {
        for body in
            [&b""[..], b"--b", b"--b\r\n", b"--b\r\nx\r\n\r\ny", b"--c\r\n\r\n\r\n--c--", b"--b\r\n\r\n\r\n\r\n--b--"]
        {
            assert!(fields("multipart/form-data; boundary=b", body).is_none());
        }
        assert!(fields("multipart/form-data", b"--b--").is_none());
    }
}
