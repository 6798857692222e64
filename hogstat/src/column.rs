//! How the project's types stand in columns, each in one way, and how columns are judged when read back.
//!
//! A column that cannot be what this crate wrote gives a conversion error, which callers see as
//! [`Error::Corrupt`](crate::Error::Corrupt).

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use uuid::Uuid;

/// A uuid, as text in lower case with hyphens.
pub(crate) struct Id(pub(crate) Uuid);

impl ToSql for Id {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.hyphenated().to_string().into())
    }
}

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Id> {
        Uuid::try_parse(value.as_str()?).map(Id).map_err(FromSqlError::other)
    }
}

/// A u64. SQLite's integers are signed, so what is above 2^63 - 1 is refused in both directions.
pub(crate) struct Word(pub(crate) u64);

#[derive(Debug, thiserror::Error)]
#[error("{0} is above 2^63 - 1")]
struct AboveSigned(u64);

impl ToSql for Word {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let signed = i64::try_from(self.0)
            .map_err(|_| rusqlite::Error::ToSqlConversionFailure(Box::new(AboveSigned(self.0))))?;
        Ok(signed.into())
    }
}

impl FromSql for Word {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Word> {
        let signed = value.as_i64()?;
        u64::try_from(signed)
            .map(Word)
            .map_err(|_| FromSqlError::OutOfRange(signed))
    }
}

/// A command line, as a JSON array of texts.
pub(crate) struct Argv(pub(crate) Vec<String>);

impl ToSql for Argv {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let json =
            serde_json::to_string(&self.0).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        Ok(json.into())
    }
}

impl FromSql for Argv {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Argv> {
        serde_json::from_str(value.as_str()?)
            .map(Argv)
            .map_err(FromSqlError::other)
    }
}

/// A word that a column of fixed words must not hold.
#[derive(Debug, thiserror::Error)]
#[error("{found:?} is no {column}")]
pub(crate) struct StrangeWord {
    pub(crate) column: &'static str,
    pub(crate) found: String,
}

/// Defines an enum whose values stand in the database as the given words.
macro_rules! stored_words {
    ($(#[$about:meta])* pub enum $name:ident { $($(#[$case_about:meta])* $case:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$case_about])* $case,)+
        }

        impl $name {
            /// The word for it, as the database holds it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$case => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl rusqlite::types::ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl rusqlite::types::FromSql for $name {
            fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<$name> {
                match value.as_str()? {
                    $($word => Ok($name::$case),)+
                    found => Err(rusqlite::types::FromSqlError::other($crate::column::StrangeWord {
                        column: stringify!($name),
                        found: found.to_owned(),
                    })),
                }
            }
        }
    };
}
pub(crate) use stored_words;
