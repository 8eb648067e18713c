//! Upload form of the list's page, sent by the browser itself. With JavaScript the page uploads by tus instead.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::csrf;
use super::files::{ListHeader, refused_form};
use super::forms::UploadForm;
use super::html::see_other;
use crate::domain::uploads::UploadField;
use crate::domain::{Error, ErrorCode, Fault, Result};
use crate::http::AppState;
use crate::http::api::uploads::ReceivedForm;
use crate::http::error::HttpResult;
use crate::http::negotiation::wants_page;

/// Answers `POST /ui/uploads` with 303 to the file, or to the list if there are several; else with the form and what is wrong
/// with it.
pub(in crate::http) async fn create(app: Data<AppState>, request: HttpRequest, body: Payload) -> HttpResult {
    let mut form = ReceivedForm::default();
    match receive(&mut form, &request, &app, body).await {
        Ok(()) => Ok(see_other(match form.files.as_slice() {
            [file] => app.outer.urls().file(file.id),
            files => app.outer.urls().home_with_uploads(files.len()),
        })),
        Err(error) if wants_page(&request) && error.kind.fault() != Fault::Product => {
            let header = ListHeader { upload: refused(&form, &error), ..ListHeader::default() };
            refused_form(&app, &request, header, error).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn receive(
    form: &mut ReceivedForm,
    request: &HttpRequest,
    app: &Data<AppState>,
    body: Payload,
) -> Result<()> {
    form.receive(request, app, body, |token| csrf::check(&app.outer, request, token)).await?;
    if form.files.is_empty() {
        return Err(Error::new(ErrorCode::MalformedRequest, "no file was chosen"));
    }
    Ok(())
}

/// Returns the form as it is shown again: with its texts, but without files, which browsers don't keep.
fn refused(form: &ReceivedForm, error: &Error) -> UploadForm {
    let text = |field| form.given.text(field);
    UploadForm {
        title: text(UploadField::Title),
        description: text(UploadField::Description),
        tags: text(UploadField::Tags),
        folder: text(UploadField::Folder),
        errors: error.fields.clone(),
        refusal: error.fields.is_empty().then(|| error.detail.clone()),
        stored: form.files.len(),
        ..UploadForm::default()
    }
}

/// Answers `GET /ui/uploads`: a browser that reloads a refused POST may ask with GET.
pub(in crate::http) async fn redirect_to_list(app: Data<AppState>) -> HttpResponse {
    see_other(app.outer.urls().home())
}
