//! Former names of keys. They are not accepted; the error names the present one.

/// Each renamed key: the former name and the present one, both dotted.
pub(super) const RENAMED_KEYS: [(&str, &str); 20] = [
    (
        "server.network_connections",
        "server.connections_per_network",
    ),
    ("server.stop_secs", "server.shutdown_secs"),
    ("limits.batch_hits", "limits.hits_per_beacon"),
    ("limits.read_millis", "limits.read_timeout_millis"),
    ("limits.write_millis", "limits.write_timeout_millis"),
    ("limits.answer_millis", "limits.response_timeout_millis"),
    (
        "limits.network_wrong_tokens_per_min",
        "limits.network_invalid_tokens_per_min",
    ),
    (
        "limits.wrong_tokens_per_min",
        "limits.invalid_tokens_per_min",
    ),
    ("limits.session_streams", "limits.streams_per_session"),
    ("limits.network_streams", "limits.streams_per_network"),
    ("limits.waiting_hits", "limits.queued_hits"),
    ("limits.touched_items", "limits.visitor_items"),
    ("consent.on_version", "consent.reprompt"),
    ("access.idle_secs", "access.idle_timeout_secs"),
    ("access.longest_secs", "access.absolute_timeout_secs"),
    ("bi_port.query_secs", "bi_port.query_timeout_secs"),
    ("mail.life_days", "mail.expiry_days"),
    ("store.query_secs", "store.query_timeout_secs"),
    ("health.store_away_secs", "health.store_unavailable_secs"),
    (
        "health.publication_late_secs",
        "health.publication_overdue_secs",
    ),
];

/// The present name of a key, if `key` is a former one.
pub(super) fn find_renamed_key(key: &str) -> Option<&'static str> {
    RENAMED_KEYS
        .iter()
        .find(|(former, _)| *former == key)
        .map(|(_, present)| *present)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::ConfigSchema;

    #[test]
    fn former_names_are_unknown_keys_and_present_names_are_keys() {
        let schema = ConfigSchema::new();
        for (former, present) in RENAMED_KEYS {
            assert_eq!(schema.key_kind(former), None, "{former}");
            assert!(schema.key_kind(present).is_some(), "{present}");
        }
    }
}
