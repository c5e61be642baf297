//! The operations of a service, each with its names.

/// Makes the `Operation` of a service from the name that policies have for the service, and each operation's name with its
/// label in metrics.
macro_rules! operations {
    ($service:literal: $($name:ident $label:literal,)*) => {
        /// An operation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Operation {
            $(#[doc = stringify!($name)] $name,)*
        }

        impl Operation {
            /// All that there are.
            pub const ALL: [Self; [$(stringify!($name)),*].len()] = [$(Self::$name),*];

            /// The operation of that name.
            pub fn parse(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its name in policies.
            pub fn action(self) -> &'static str {
                match self { $(Self::$name => concat!($service, ":", stringify!($name)),)* }
            }

            /// Its name in metrics.
            pub fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

pub(super) use operations;
