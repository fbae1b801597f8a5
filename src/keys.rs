//! A new epoch, and a new key: what only an administrator may ask for, with a passkey just shown.

use notme_authority::Error;
use notme_authority::config::LogLevel;
use notme_authority::http::Reply;
use notme_authority::protocol::{self, Command};
use notme_authority::rotation::{Act, Rotation};
use notme_durable::log;

use crate::Call;
use crate::handlers::{json, unexpected};
use crate::objects::signing_authority;
use crate::people::{origin, presented};

pub(crate) async fn rotate(call: &Call, body: &[u8], act: Act) -> Result<Reply, Error> {
    let session = presented(call)?.hash();
    let rotation = Rotation {
        session,
        act,
        reason: Rotation::reason(body)?,
        origin: origin(call),
    };
    let command = Command::Rotate(Box::new(rotation));
    match signing_authority(&call.env, &command).await? {
        protocol::Reply::Rotated(changed) => {
            let fields = [
                ("request_id", call.id.as_str().into()),
                ("action", act.action().into()),
                ("key_id", changed.key_id.as_str().into()),
            ];
            log(LogLevel::Warn, "key_changed", fields);
            Ok(json(&changed.to_json()))
        }
        other => Err(unexpected(&other)),
    }
}
