//! SQLite in a Durable Object: statements, rows and transactions.

use notme_authority::{Error, Fault};
use wasm_bindgen::prelude::*;
use worker::{SqlStorageValue, State};

#[wasm_bindgen(module = "/src/sql.mjs")]
extern "C" {
    fn learn(place: f64, statement: &str);
    #[wasm_bindgen(js_name = askKnown, catch)]
    fn ask_known(
        sql: &JsValue,
        place: f64,
        packed: &[u8],
        tell: u8,
    ) -> Result<Option<Vec<u8>>, JsValue>;
    #[wasm_bindgen(js_name = ask, catch)]
    fn ask_new(sql: &JsValue, statement: &str, packed: &[u8], tell: u8)
    -> Result<Vec<u8>, JsValue>;
}

#[wasm_bindgen]
extern "C" {
    type Storage;
    #[wasm_bindgen(method, getter)]
    fn sql(this: &Storage) -> JsValue;
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

/// Where a text of the program's is: no two that differ have both the same begin and the same length.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "an address has 32 bits, a length fewer than 20"
)]
fn place(text: &'static str) -> f64 {
    (text.as_ptr() as usize as f64) + (text.len() as f64) * 4_294_967_296.0
}

/// Arguments in the form that `sql.mjs` documents.
fn packed(arguments: &[SqlStorageValue]) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::with_capacity(256);
    for argument in arguments {
        match argument {
            SqlStorageValue::Null => push_null(&mut out),
            SqlStorageValue::Boolean(is) => push_number(&mut out, (*is).into())?,
            SqlStorageValue::Integer(number) => push_number(&mut out, *number)?,
            SqlStorageValue::Float(_) => return Err(internal("an argument with a fraction")),
            SqlStorageValue::String(text) => push_bytes(&mut out, TEXT, text.as_bytes())?,
            SqlStorageValue::Blob(bytes) => push_bytes(&mut out, BYTES, bytes)?,
        }
    }
    Ok(out)
}

/// The same, of borrowed ones.
fn bound(arguments: &[Argument<'_>]) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::with_capacity(256);
    for argument in arguments {
        match *argument {
            Argument::Null => push_null(&mut out),
            Argument::Number(n) => push_number(&mut out, n.try_into().map_err(internal)?)?,
            Argument::Text(text) => push_bytes(&mut out, TEXT, text.as_bytes())?,
            Argument::Bytes(bytes) => push_bytes(&mut out, BYTES, bytes)?,
        }
    }
    Ok(out)
}

fn push_null(out: &mut Vec<u8>) {
    out.push(NULL);
}

/// # Errors
/// [`Fault::Internal`] if JavaScript would take it for another number.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "checked to be safe"
)]
fn push_number(out: &mut Vec<u8>, number: i64) -> Result<(), Fault> {
    if number.unsigned_abs() >= 1 << 53 {
        return Err(internal("a number that is no safe integer"));
    }
    out.push(NUMBER);
    out.extend_from_slice(&(number as f64).to_le_bytes());
    Ok(())
}

fn push_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) -> Result<(), Fault> {
    let length = u32::try_from(bytes.len()).map_err(internal)?;
    out.push(tag);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// So many values from the begin of what JavaScript told.
fn unpack(rest: &mut &[u8], count: u8) -> Result<Vec<SqlStorageValue>, Fault> {
    let short = || internal("a row that ends too early");
    (0..count)
        .map(|_| unpack_one(rest).ok_or_else(short))
        .collect()
}

fn unpack_one(rest: &mut &[u8]) -> Option<SqlStorageValue> {
    let tag = *rest.split_off_first()?;
    Some(match tag {
        NULL => SqlStorageValue::Null,
        NUMBER => SqlStorageValue::Float(f64::from_le_bytes(rest.split_off(..8)?.try_into().ok()?)),
        tag => {
            let length = u32::from_le_bytes(rest.split_off(..4)?.try_into().ok()?);
            let bytes = rest.split_off(..usize::try_from(length).ok()?)?.to_vec();
            match tag {
                TEXT => SqlStorageValue::String(String::from_utf8(bytes).ok()?),
                _ => SqlStorageValue::Blob(bytes),
            }
        }
    })
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

/// A statement: one of the program's own text, which is turned into JavaScript's once, or one that was made.
pub(crate) enum Statement<'a> {
    Known(&'static str),
    Made(&'a str),
}

impl From<&'static str> for Statement<'_> {
    fn from(text: &'static str) -> Self {
        Self::Known(text)
    }
}

impl<'a> From<&'a String> for Statement<'a> {
    fn from(text: &'a String) -> Self {
        Self::Made(text)
    }
}

/// What the answer to a statement tells, by the numbers of `sql.mjs`.
const TELL_NOTHING: u8 = 0;
const TELL_ROWS: u8 = 1;
const TELL_WRITTEN: u8 = 2;

const NULL: u8 = 0;
const NUMBER: u8 = 1;
const TEXT: u8 = 2;
const BYTES: u8 = 3;

/// The database of an object.
pub(crate) struct Database {
    sql: JsValue,
    storage: Storage,
}

impl Database {
    pub(crate) fn new(state: &State) -> Self {
        let storage: Storage = JsValue::from(state.storage().as_raw()).unchecked_into();
        Self {
            sql: storage.sql(),
            storage,
        }
    }

    /// Runs statements and tells how many rows they wrote.
    pub(crate) fn execute<'s>(
        &self,
        statement: impl Into<Statement<'s>>,
        arguments: Vec<SqlStorageValue>,
    ) -> Result<usize, Fault> {
        let told = self.tell(statement.into(), &packed(&arguments)?, TELL_WRITTEN)?;
        let written = Row(unpack(&mut told.as_slice(), 1)?.into_iter()).integer()?;
        usize::try_from(written).map_err(internal)
    }

    pub(crate) fn rows<'s>(
        &self,
        query: impl Into<Statement<'s>>,
        arguments: Vec<SqlStorageValue>,
    ) -> Result<Vec<Row>, Fault> {
        self.read(query.into(), &packed(&arguments)?)
    }

    /// Runs a statement, and looks at nothing of what it gives: the least that a write costs.
    pub(crate) fn run<'s>(
        &self,
        statement: impl Into<Statement<'s>>,
        arguments: &[Argument<'_>],
    ) -> Result<(), Error> {
        self.tell(statement.into(), &bound(arguments)?, TELL_NOTHING)?;
        Ok(())
    }

    /// The rows that a statement gives.
    pub(crate) fn ask<'s>(
        &self,
        statement: impl Into<Statement<'s>>,
        arguments: &[Argument<'_>],
    ) -> Result<Vec<Row>, Error> {
        Ok(self.read(statement.into(), &bound(arguments)?)?)
    }

    #[inline(never)]
    fn read(&self, query: Statement<'_>, arguments: &[u8]) -> Result<Vec<Row>, Fault> {
        let told = self.tell(query, arguments, TELL_ROWS)?;
        let mut rest = told.as_slice();
        let mut rows = Vec::new();
        while let Some((&columns, behind)) = rest.split_first() {
            rest = behind;
            rows.push(Row(unpack(&mut rest, columns)?.into_iter()));
        }
        Ok(rows)
    }

    #[inline(never)]
    fn tell(&self, statement: Statement<'_>, arguments: &[u8], tell: u8) -> Result<Vec<u8>, Fault> {
        let told = match statement {
            Statement::Made(text) => ask_new(&self.sql, text, arguments, tell),
            Statement::Known(text) => match ask_known(&self.sql, place(text), arguments, tell) {
                Ok(Some(told)) => Ok(told),
                Ok(None) => {
                    learn(place(text), text);
                    ask_new(&self.sql, text, arguments, tell)
                }
                Err(error) => Err(error),
            },
        };
        told.map_err(|error| Fault::Internal(format!("SQL: {error:?}")))
    }

    /// Runs `work`, whose writes reach the disk together: nothing is awaited in between, and the platform
    /// commits when a handler waits or ends. But a write that was made before `work` failed stays, for there is no
    /// savepoint, which is a tenth of what a sign-in costs. For work that first refuses and then writes, and of
    /// which each begin is harmless alone.
    pub(crate) fn together<T>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        work(self)
    }

    /// Runs `work` in one transaction: all of its writes happen if it gives `Ok`, none otherwise.
    ///
    /// A statement outside of a transaction stays even if its handler fails later, so objects
    /// write through here, or know why not.
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
    pub(crate) fn migrate(&self, migrations: &[&'static str]) -> Result<(), Error> {
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
            for &migration in missing {
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
