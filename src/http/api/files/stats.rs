//! `GET /files/stats`: how many files are in each status.

use actix_web::HttpRequest;
use actix_web::web::Data;

use super::body::StatsBody;
use crate::actions::files;
use crate::http::AppState;
use crate::http::error::HttpResult;
use crate::http::json_response;

pub(in crate::http) async fn stats(request: HttpRequest, state: Data<AppState>) -> HttpResult {
    let stats = state.run(|ctx| async move { files::stats(&ctx).await }).await?;
    json_response::read_only(&request, &StatsBody::from(&*stats))
}
