//! The header fields of a request that another collector counts, as bytes.

use super::RequestHeaders;
use crate::cluster::{BufferReader, CallBuffer};

const GPC: u8 = 1;
const DNT: u8 = 2;
const PREFETCH: u8 = 4;
const CROSS_SITE: u8 = 8;

impl<'a> RequestHeaders<'a> {
    /// Appends the fields that matter to a hit. Of the cookies, only those with these names.
    pub(in crate::ingest) fn push_to(&self, buffer: &mut CallBuffer, cookie_names: &[String]) {
        buffer.push_field(self.host.as_bytes());
        buffer.push_field(self.agent.as_bytes());
        for optional in self.optional_fields() {
            buffer.push_byte(u8::from(optional.is_some()));
            buffer.push_field(optional.unwrap_or("").as_bytes());
        }
        let flags = [
            (self.gpc, GPC),
            (self.dnt, DNT),
            (self.prefetch, PREFETCH),
            (self.cross_site, CROSS_SITE),
        ];
        let set = flags.iter().filter(|(is_set, _)| *is_set);
        buffer.push_byte(set.map(|(_, flag)| flag).sum());

        let mut line = CallBuffer::default();
        for name in cookie_names.iter().filter(|name| !name.is_empty()) {
            for value in self.cookies.get_all(name) {
                for part in [name.as_str(), "=", value, ";"] {
                    line.push_bytes(part.as_bytes());
                }
            }
        }
        buffer.push_field(line.as_bytes());
    }

    fn optional_fields(&self) -> [Option<&'a str>; 7] {
        [
            self.forwarded_host,
            self.language,
            self.bearer,
            self.origin,
            self.brands,
            self.mobile,
            self.platform,
        ]
    }

    /// Reads what [`RequestHeaders::push_to`] wrote; `None` for anything else.
    pub(in crate::ingest) fn read_from(from: &mut BufferReader<'a>) -> Option<RequestHeaders<'a>> {
        let (host, agent) = (from.read_text()?, from.read_text()?);
        let mut optional = [None; 7];
        for field in &mut optional {
            let (is_some, text) = (from.read_byte()? == 1, from.read_text()?);
            *field = is_some.then_some(text);
        }
        let flags = from.read_byte()?;
        let [
            forwarded_host,
            language,
            bearer,
            origin,
            brands,
            mobile,
            platform,
        ] = optional;

        let mut fields = RequestHeaders {
            host,
            agent,
            forwarded_host,
            language,
            bearer,
            origin,
            brands,
            mobile,
            platform,
            gpc: flags & GPC != 0,
            dnt: flags & DNT != 0,
            prefetch: flags & PREFETCH != 0,
            cross_site: flags & CROSS_SITE != 0,
            ..RequestHeaders::default()
        };
        fields.cookies.push_line(from.read_field()?);
        Some(fields)
    }
}
