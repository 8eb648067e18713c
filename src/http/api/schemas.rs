//! `GET /schemas` and `GET /schemas/{name}`: JSON Schemas of the messages.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use crate::domain::messages::MessageSchema;
use crate::domain::{Error, ErrorCode};
use crate::http::AppState;
use crate::http::error::HttpResult;
use crate::http::json_response::{self, Json};

/// Media type of a JSON Schema.
const SCHEMA_JSON: HeaderValue = HeaderValue::from_static("application/schema+json");

#[derive(Debug, Serialize)]
struct SchemaLine {
    name: &'static str,
    subject: &'static str,
    /// Identifier of the schema, the same in every installation.
    id: String,
    url: String,
}

pub(in crate::http) async fn list(request: HttpRequest, state: Data<AppState>) -> HttpResult {
    let base_url = &state.ctx.events.base_url;
    let lines = MessageSchema::ALL.map(|schema| SchemaLine {
        name: schema.name(),
        subject: schema.subject(),
        id: schema.id(),
        url: format!("{base_url}/schemas/{}", schema.name()),
    });
    json_response::read_only(&request, &lines)
}

pub(in crate::http) async fn get(request: HttpRequest, name: Path<String>) -> HttpResult {
    let Some(schema) = MessageSchema::from_name(&name) else {
        let detail = "there is no schema with this name; GET /schemas lists them";
        return Err(Error::new(ErrorCode::NotFound, detail).into());
    };
    let mut answer = Json::new(&schema.json())?.respond(&request, HttpResponse::Ok())?;
    if answer.status() == StatusCode::OK {
        answer.headers_mut().insert(header::CONTENT_TYPE, SCHEMA_JSON);
    }
    Ok(answer)
}
