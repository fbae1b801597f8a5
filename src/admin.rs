//! What administrators see and take back: from request to answer.

use notme_authority::Error;
use notme_authority::config::LogLevel;
use notme_authority::http::{Reply, Route};
use notme_authority::people::admin::{self, Act, Command, Format, table};
use notme_authority::protocol;
use notme_durable::log;

use crate::Call;
use crate::handlers::unexpected;
use crate::objects::signing_authority;
use crate::people::{origin, presented};

/// All of them differ in nothing but what they ask the object for.
pub(crate) async fn answer(
    call: &Call,
    route: &'static Route,
    path: &str,
    body: &[u8],
) -> Result<Reply, Error> {
    let command = Command {
        session: presented(call)?.hash(),
        origin: origin(call),
        method: route.method,
        path: path.to_owned(),
        query: call.query.clone(),
        body: body.to_vec(),
    };
    let (_, act, format) = command.read()?;
    let command = protocol::Command::Admin(Box::new(command));
    let admin::Reply { body, next } = match signing_authority(&call.env, &command).await? {
        protocol::Reply::Admin(reply) => reply,
        other => return Err(unexpected(&other)),
    };
    let list = match (act, format) {
        (Act::List(list), Format::Csv) => list,
        (Act::Change(_) | Act::Row(_), _) => {
            let fields = [
                ("request_id", call.id.as_str().into()),
                ("path", crate::shorten(path).into()),
            ];
            log(LogLevel::Info, "changed", fields);
            return Ok(Reply::json(body));
        }
        _ => return Ok(Reply::json(body)),
    };
    let text = table::csv(list.kind, &body)?;
    let mut reply = Reply::new(200, "text/csv; charset=utf-8; header=present", text.into());
    let name = list.kind.name();
    reply.set(
        "content-disposition",
        format!("attachment; filename=\"{name}.csv\""),
    );
    if let Some(next) = next {
        let query = admin::next_query(&call.query, &next);
        reply.set("link", format!("<?{query}>; rel=\"next\""));
    }
    Ok(reply)
}
