//! The macro that defines closed lists whose members have a name.

/// Defines an enum of one byte whose variants each have a name: in the configuration, the tables,
/// the API or a record. The numbers are 0, 1, 2, … in the order of the variants.
///
/// ```ignore
/// string_enum! {
///     /// What was done with a mail.
///     pub enum MailAction {
///         /// Its pixel was loaded.
///         Open = "open",
///         /// One of its links was followed.
///         Click = "click",
///     }
/// }
/// ```
///
/// The enum has `ALL`, `name`, `from_name` and `from_u8`. With serde it is its name; the error for
/// any other text lists the accepted ones.
macro_rules! string_enum {
    ($(#[$meta:meta])* $vis:vis enum $Name:ident {
        $($(#[$of:meta])* $Variant:ident = $word:literal),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        $vis enum $Name {
            $(
                $(#[$of])*
                #[doc = ""]
                #[doc = concat!("Named `", $word, "`.")]
                $Variant,
            )+
        }

        #[allow(dead_code, reason = "not every enum is read by name or by number")]
        impl $Name {
            /// All variants, by number.
            $vis const ALL: [$Name; [$($word),+].len()] = [$($Name::$Variant),+];

            /// The name of the variant.
            $vis const fn name(self) -> &'static str {
                match self {
                    $($Name::$Variant => $word,)+
                }
            }

            /// The variant with this name; `None` if there is none.
            $vis fn from_name(name: &str) -> Option<$Name> {
                $Name::ALL.into_iter().find(|one| one.name() == name)
            }

            /// The variant with this number; `None` if there is none.
            $vis fn from_u8(number: u8) -> Option<$Name> {
                $Name::ALL.get(usize::from(number)).copied()
            }
        }

        impl serde::Serialize for $Name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $Name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<$Name, D::Error> {
                struct NameVisitor;

                impl serde::de::Visitor<'_> for NameVisitor {
                    type Value = $Name;

                    fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(to, "one of: {}", $Name::ALL.map($Name::name).join(", "))
                    }

                    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<$Name, E> {
                        $Name::from_name(name).ok_or_else(|| {
                            let accepted = $Name::ALL.map($Name::name).join(", ");
                            E::custom(format_args!("must be one of: {accepted}"))
                        })
                    }
                }

                from.deserialize_str(NameVisitor)
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use serde::de::value::{Error, StrDeserializer};
    use serde::de::{Deserialize, IntoDeserializer};

    string_enum! {
        enum TestColour {
            Red = "red",
            DarkBlue = "dark_blue",
        }
    }

    fn read(name: &str) -> Result<TestColour, String> {
        let from: StrDeserializer<'_, Error> = name.into_deserializer();
        TestColour::deserialize(from).map_err(|error| error.to_string())
    }

    #[test]
    fn a_variant_is_its_name_and_its_number() {
        assert_eq!(TestColour::ALL, [TestColour::Red, TestColour::DarkBlue]);
        for (number, colour) in TestColour::ALL.into_iter().enumerate() {
            assert_eq!(TestColour::from_name(colour.name()), Some(colour));
            assert_eq!(TestColour::from_u8(number as u8), Some(colour));
            assert_eq!(read(colour.name()), Ok(colour));
            assert_eq!(serde_json::to_value(colour).unwrap(), colour.name());
        }
        assert_eq!(TestColour::DarkBlue as u8, 1);
    }

    #[test]
    fn any_other_name_is_an_error_that_lists_the_accepted_ones() {
        assert_eq!(TestColour::from_name("Red"), None);
        assert_eq!(TestColour::from_u8(2), None);
        let accepted = "must be one of: red, dark_blue".to_owned();
        assert_eq!(read("green"), Err(accepted));
    }
}
