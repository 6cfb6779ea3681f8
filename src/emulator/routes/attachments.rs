//! Files of work items over HTTP: upload in one piece, download. Uploads in pieces are not played.

use super::{Answer, Body, Call, Route};
use crate::emulator::wire::{Content, Problem, Reply};

pub(crate) const ROUTES: &[Route] = &[
    Route::send("POST", "wit/attachments", "attachment: upload", Body::Bytes, upload).query(&[
        "fileName",
        "uploadType",
        "areaPath",
    ]),
    Route::get("wit/attachments/{id}", "attachment: download", download).query(&["fileName", "download"]),
];

fn upload(call: &mut Call<'_>) -> Answer {
    if call.q("uploadType").is_some_and(|kind| !kind.eq_ignore_ascii_case("simple")) {
        return Err(Problem::argument(
            "The emulator takes attachments in one piece only (uploadType=simple).",
        ));
    }
    if call.bytes.is_empty() {
        return Err(Problem::argument("Value cannot be null.\r\nParameter name: uploadStream"));
    }
    // The service makes up a name where none is given.
    let name = call.q("fileName").unwrap_or("attachment").to_owned();
    let project = call.project.as_ref().map(|project| project.id.clone());
    let bytes = call.bytes.to_vec();
    call.world.upload(project.as_deref(), &name, bytes).map(Reply::created)
}

fn download(call: &mut Call<'_>) -> Answer {
    let found = call.world.attachment(call.arg(0))?;
    Ok(Reply::new(200, Content::Bytes(found.bytes.clone(), "application/octet-stream")))
}
