//! Checks before a request is routed: its host must be one of this service's, and changes must not come from other sites'
//! pages. The sub-path of `BASE_URL` is removed.

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::HeaderName;
use actix_web::http::{Method, Uri};
use actix_web::middleware::Next;
use actix_web::web::Data;

use crate::domain::{Error, ErrorCode, Result};
use crate::http::AppState;
use crate::http::error::HttpError;
use crate::http::outer::{OuterAddress, Sender};

const PREFLIGHT: HeaderName = HeaderName::from_static("access-control-request-method");

/// Removes the sub-path and checks host and origin. [`super::wrap_request`] gives a refusal its body.
pub(in crate::http) async fn check_origin<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, actix_web::Error> {
    let state = request.app_data::<Data<AppState>>().cloned();
    if let Some(state) = state {
        remove_prefix(&mut request, &state.outer);
        if let Err(error) = check(&request, &state.outer) {
            let refused = HttpResponse::from_error(HttpError(error));
            // `into_response` would drop the cause, which the body is rendered from.
            let (request, _) = request.into_parts();
            return Ok(ServiceResponse::new(request, refused).map_into_right_body());
        }
    }
    Ok(next.call(request).await?.map_into_left_body())
}

/// Removes the sub-path of `BASE_URL` where a proxy has left it in the target.
fn remove_prefix(request: &mut ServiceRequest, outer: &OuterAddress) {
    let Some(path) = outer.below_prefix(request.path()) else { return };
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = target.parse().ok();
    // Can't fail: all parts were parts of a URI before.
    let Ok(uri) = Uri::from_parts(parts) else { return };
    request.match_info_mut().get_mut().update(&uri);
    request.head_mut().uri = uri;
}

fn check(request: &ServiceRequest, outer: &OuterAddress) -> Result<()> {
    let head = request.head();
    outer.check_host(head)?;
    match head.method {
        Method::GET | Method::HEAD | Method::TRACE => Ok(()),
        Method::OPTIONS if !head.headers.contains_key(PREFLIGHT) => Ok(()),
        Method::OPTIONS => Err(cross_site(
            "pages of other origins can't use this service: it allows no cross-origin requests (CORS). Send the request \
             from a page of this service or from a program"
                .to_owned(),
        )),
        // Handlers of pages check by themselves (`ui::csrf`), so that a refused form is shown again with what was typed.
        _ if head.uri.path().starts_with("/ui/") => Ok(()),
        _ => {
            let sender: Sender<'_> = outer.sender(head);
            outer.refusal(head, &sender).map_or(Ok(()), |detail| Err(cross_site(detail)))
        }
    }
}

fn cross_site(detail: String) -> Error {
    Error::new(ErrorCode::CrossSiteRequest, detail)
}
