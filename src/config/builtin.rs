//! The configuration texts that are compiled in.

/// Every key with its default and a comment. Defaults are defined nowhere else.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// The published policies that the project includes word for word: name and text.
pub const PRESETS: [(&str, &str); 3] = [
    ("alllinks", include_str!("../../config/alllinks.toml")),
    ("ally", include_str!("../../config/ally.toml")),
    ("openedlink", include_str!("../../config/openedlink.toml")),
];
