//! Log line and counter of an answered request.

use std::time::Instant;

use actix_web::HttpRequest;
use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::web::Data;

use crate::http::AppState;

/// Logs the request, and counts it if the client is to blame for its status.
pub(super) fn record(response: &ServiceResponse<BoxBody>, started: Instant, request_id: &str) {
    let request = response.request();
    if response.status().is_client_error()
        && let Some(state) = request.app_data::<Data<AppState>>()
    {
        state.client_errors.count_refused();
    }
    log::debug!(
        method:% = request.method(), route = request.match_pattern(), status = response.status().as_u16(),
        client:% = client_address(request), elapsed_us:? = started.elapsed().as_micros(), request_id;
        "request answered"
    );
}

/// Returns the client's address as text. Only called when the line is logged.
fn client_address(request: &HttpRequest) -> String {
    let state = request.app_data::<Data<AppState>>();
    let address = state.and_then(|state| state.outer.client_address(request.head()));
    address.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}
