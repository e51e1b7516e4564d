//! A macro for closed lists: an enum of one byte, with each member's name declared once.

macro_rules! named_enum {
    ($(#[$meta:meta])* $Type:ident { $($Member:ident = $name:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum $Type { $($Member),* }

        impl $Type {
            pub const ALL: &'static [$Type] = &[$($Type::$Member),*];

            /// What is stored and shown.
            pub const fn name(self) -> &'static str {
                match self { $($Type::$Member => $name),* }
            }
        }
    };
}

pub(in crate::enrich) use named_enum;
