//! Members of a response.

use notme_keys::decode_base64url;
use serde_json::{Map, Value};

use crate::Error;

/// The string `name` of an object, which must be there.
pub(crate) fn string<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a str, Error> {
    object
        .get(name)
        .and_then(Value::as_str)
        .ok_or(Error::ResponseMalformed)
}

/// The bytes of a base64url string, which must be there and no more than `max` bytes.
pub(crate) fn bytes(object: &Map<String, Value>, name: &str, max: usize) -> Result<Vec<u8>, Error> {
    let bytes = decode_base64url(string(object, name)?).ok_or(Error::ResponseMalformed)?;
    if bytes.len() > max {
        return Err(Error::ResponseTooLarge);
    }
    Ok(bytes)
}
