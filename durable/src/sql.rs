//! SQLite in a Durable Object: statements, rows and transactions.

use notme_authority::{Error, Fault};
use wasm_bindgen::prelude::*;
use worker::{SqlStorage, SqlStorageValue, State};

#[wasm_bindgen]
extern "C" {
    type Storage;
    /// `worker` has no binding for it. It rolls back if the callback throws, and runs it whole: no
    /// other request comes in between.
    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn transaction_sync(
        this: &Storage,
        callback: &mut dyn FnMut() -> Result<(), JsValue>,
    ) -> Result<(), JsValue>;
}

/// A row, column by column.
pub(crate) struct Row(std::vec::IntoIter<SqlStorageValue>);

impl Row {
    pub(crate) fn blob(&mut self) -> Result<Vec<u8>, Fault> {
        match self.0.next() {
            Some(SqlStorageValue::Blob(bytes)) => Ok(bytes),
            _ => Err(unexpected("a blob")),
        }
    }

    pub(crate) fn optional_blob(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        match self.0.next() {
            Some(SqlStorageValue::Blob(bytes)) => Ok(Some(bytes)),
            Some(SqlStorageValue::Null) => Ok(None),
            _ => Err(unexpected("a blob or nothing")),
        }
    }

    pub(crate) fn text(&mut self) -> Result<String, Fault> {
        match self.0.next() {
            Some(SqlStorageValue::String(text)) => Ok(text),
            _ => Err(unexpected("text")),
        }
    }

    pub(crate) fn optional_text(&mut self) -> Result<Option<String>, Fault> {
        match self.0.next() {
            Some(SqlStorageValue::String(text)) => Ok(Some(text)),
            Some(SqlStorageValue::Null) => Ok(None),
            _ => Err(unexpected("text or nothing")),
        }
    }

    pub(crate) fn integer(&mut self) -> Result<u64, Fault> {
        self.optional_integer()?
            .ok_or_else(|| unexpected("a number"))
    }

    /// A number that may be below zero.
    pub(crate) fn signed(&mut self) -> Result<i64, Fault> {
        let text = match self.0.next() {
            Some(SqlStorageValue::Integer(n)) => n.to_string(),
            Some(SqlStorageValue::Float(n)) => n.to_string(), // without a fraction if it has none
            _ => return Err(unexpected("a number")),
        };
        text.parse().map_err(|_| unexpected("a whole number"))
    }

    /// Numbers arrive as JavaScript's; all of ours are safe integers.
    #[expect(clippy::as_conversions, reason = "checked to be a whole safe integer")]
    pub(crate) fn optional_integer(&mut self) -> Result<Option<u64>, Fault> {
        match self.0.next() {
            Some(SqlStorageValue::Null) => Ok(None),
            Some(SqlStorageValue::Integer(n)) => {
                n.try_into().map(Some).map_err(|_| unexpected("a number"))
            }
            Some(SqlStorageValue::Float(n)) if n >= 0.0 && n.trunc() == n && n < 9e15 => {
                Ok(Some(n as u64))
            }
            _ => Err(unexpected("a number")),
        }
    }
}

fn unexpected(what: &str) -> Fault {
    Fault::Internal(format!("the storage doesn't hold {what} where it should"))
}

pub(crate) fn internal(error: impl std::fmt::Debug) -> Fault {
    Fault::Internal(format!("{error:?}"))
}

/// An error of the platform's, in its own words: they are there anyway, and its parts aren't.
pub(crate) fn platform(error: worker::Error) -> Fault {
    Fault::Internal(error.to_string())
}

/// An integer as a statement's argument.
pub(crate) fn integer(value: u64) -> Result<SqlStorageValue, Fault> {
    i64::try_from(value)
        .map_err(internal)
        .and_then(|value| SqlStorageValue::try_from_i64(value).map_err(platform))
}

/// A statement's argument, borrowed. What has many statements is smaller with these.
#[derive(Clone, Copy)]
pub(crate) enum Argument<'a> {
    Null,
    Number(u64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// Arguments as the platform takes them.
#[inline(never)]
fn bound(arguments: &[Argument<'_>]) -> Result<Vec<SqlStorageValue>, Fault> {
    let value = |argument: &Argument<'_>| {
        Ok(match *argument {
            Argument::Null => SqlStorageValue::Null,
            Argument::Number(number) => integer(number)?,
            Argument::Text(text) => text.into(),
            Argument::Bytes(bytes) => SqlStorageValue::Blob(bytes.to_vec()),
        })
    };
    arguments.iter().map(value).collect()
}

/// The database of an object.
pub(crate) struct Database {
    sql: SqlStorage,
    storage: Storage,
}

impl Database {
    pub(crate) fn new(state: &State) -> Self {
        let storage = state.storage();
        Self {
            sql: storage.sql(),
            storage: JsValue::from(storage.as_raw()).unchecked_into(),
        }
    }

    /// Runs statements and tells how many rows they wrote.
    pub(crate) fn execute(
        &self,
        statement: &str,
        arguments: Vec<SqlStorageValue>,
    ) -> Result<usize, Fault> {
        Ok(self
            .sql
            .exec(statement, arguments)
            .map_err(platform)?
            .rows_written())
    }

    pub(crate) fn rows(
        &self,
        query: &str,
        arguments: Vec<SqlStorageValue>,
    ) -> Result<Vec<Row>, Fault> {
        let cursor = self.sql.exec(query, arguments).map_err(platform)?;
        let row = |row: worker::Result<Vec<SqlStorageValue>>| {
            row.map(|columns| Row(columns.into_iter()))
                .map_err(platform)
        };
        cursor.raw().map(row).collect()
    }

    /// Runs a statement, and looks at nothing of what it gives: the least that a write costs.
    pub(crate) fn run(&self, statement: &str, arguments: &[Argument<'_>]) -> Result<(), Error> {
        let arguments = bound(arguments)?;
        self.sql.exec(statement, arguments).map_err(platform)?;
        Ok(())
    }

    /// The rows that a statement gives.
    #[inline(never)]
    pub(crate) fn ask(
        &self,
        statement: &str,
        arguments: &[Argument<'_>],
    ) -> Result<Vec<Row>, Error> {
        Ok(self.rows(statement, bound(arguments)?)?)
    }

    /// Runs `work` in one transaction: all of its writes happen if it gives `Ok`, none otherwise.
    ///
    /// A statement outside of a transaction stays even if its handler fails later, so objects
    /// write through here only.
    pub(crate) fn transact<T>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut work = Some(work);
        let mut outcome = None;
        let ended = self.storage.transaction_sync(&mut || {
            let result = match work.take() {
                Some(work) => work(self),
                None => Err(Fault::Internal("a transaction ran twice".into()).into()),
            };
            let failed = result.is_err();
            outcome = Some(result);
            if failed {
                Err(JsValue::from_str("roll back"))
            } else {
                Ok(())
            }
        });
        match (outcome, ended) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (_, ended) => Err(internal(ended).into()),
        }
    }

    /// Brings the schema to the newest of `migrations`, in one transaction.
    ///
    /// # Errors
    /// [`Fault::Internal`] if the state is newer than this build.
    pub(crate) fn migrate(&self, migrations: &[&str]) -> Result<(), Error> {
        self.transact(|db| {
            db.execute(
                "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL) STRICT",
                vec![],
            )?;
            let version = match db.rows("SELECT version FROM schema_version", vec![])?.first_mut() {
                Some(row) => row.integer()?,
                None => {
                    db.execute("INSERT INTO schema_version VALUES (0)", vec![])?;
                    0
                }
            };
            let done = usize::try_from(version).map_err(internal)?;
            let Some(missing) = migrations.get(done..) else {
                let known = migrations.len();
                let reason = format!(
                    "the state has schema version {version}, and this build knows {known}: run a newer build, or restore an older state"
                );
                return Err(Fault::KeyStorage(reason).into());
            };
            for migration in missing {
                db.execute(migration, vec![])?;
            }
            if !missing.is_empty() {
                let newest = u64::try_from(migrations.len()).map_err(internal)?;
                db.execute("UPDATE schema_version SET version = ?", vec![integer(newest)?])?;
            }
            Ok(())
        })
    }
}
