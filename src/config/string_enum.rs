//! The macro that defines enums of the configuration.

/// Defines an enum that is written as a word in the configuration. The error for any other word
/// lists the accepted ones.
macro_rules! string_enum {
    ($(#[$meta:meta])* pub enum $Name:ident { $($(#[$of:meta])* $Variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(serde::Deserialize, serde::Serialize, Clone, Copy, PartialEq, Eq, Debug)]
        #[serde(try_from = "String", into = "&'static str")]
        pub enum $Name {
            $($(#[$of])* $Variant,)+
        }

        impl TryFrom<String> for $Name {
            type Error = String;

            fn try_from(word: String) -> Result<$Name, String> {
                match word.as_str() {
                    $($word => Ok($Name::$Variant),)+
                    _ => Err(format!("must be one of: {}", [$($word),+].join(", "))),
                }
            }
        }

        impl From<$Name> for &'static str {
            fn from(value: $Name) -> &'static str {
                match value {
                    $($Name::$Variant => $word,)+
                }
            }
        }
    };
}
