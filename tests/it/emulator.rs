//! The emulator, over real HTTP and with real git: is it as unkind as the service?

#![expect(clippy::unwrap_used, reason = "a scene that cannot be set must fail its test at once")]

mod access;
mod checks;
mod faults;
mod items;
mod model;
mod pulls;
mod traffic;

use base64::Engine as _;
use reqwest::{Method, header::HeaderMap};
use roundsman::emulator::{
    Emulator, Identity, IdentityKind, NewItem, Options, RepositoryHandle, SeedFile, Token,
};
use serde_json::{Value, json};
use std::{path::Path, process::Command};

const PAT: &str = "bot-secret";
const PATCH: &str = "application/json-patch+json";
const JSON: &str = "application/json";

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn key(&self) -> String {
        self.json()["typeKey"].as_str().unwrap_or_default().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

struct House {
    emulator: Emulator,
    client: reqwest::Client,
    base: String,
    bot: Identity,
    owner: Identity,
    repo: RepositoryHandle,
}

fn client() -> reqwest::Client {
    // HTTP only, yet the client wants to know its TLS provider when it is built.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

impl House {
    async fn new() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let emulator = Emulator::start(options).await.unwrap();
        emulator.create_project("Shop Floor");
        let bot = emulator.create_identity("roundsman bot", "bot@acme.example", IdentityKind::Service);
        let owner = emulator.create_identity("Product owner", "owner@acme.example", IdentityKind::Person);
        emulator.issue_token(&bot, Token::Pat, PAT);
        emulator.issue_token(&owner, Token::Pat, "owner-secret");
        let files = [
            SeedFile::new("README.md", "# Web\n"),
            SeedFile::executable(
                "ci/build.sh",
                "#!/bin/sh\necho building\ngrep -q good answer.txt || { echo '##[error]the answer is not good'; exit 3; }\n",
            ),
            SeedFile::new("answer.txt", "good\n"),
        ];
        let repo = emulator.create_repository("Shop Floor", "web", &files).unwrap();
        let base = emulator.url();
        Self { emulator, client: client(), base, bot, owner, repo }
    }

    async fn raw(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Option<&Value>,
        auth: Option<&str>,
    ) -> reqwest::Result<Answer> {
        let mut request =
            self.client.request(method, format!("{}/{path}", self.base)).header("Accept", "application/json");
        if let Some(auth) = auth {
            request = request.header("Authorization", auth);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", kind).body(body.to_string());
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    async fn send(&self, method: Method, path: &str, kind: &str, body: Option<Value>) -> Answer {
        self.raw(method, path, kind, body.as_ref(), Some(&basic(PAT))).await.unwrap()
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, JSON, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, JSON, Some(body)).await
    }

    async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, JSON, Some(body)).await
    }

    async fn patch_item(&self, id: i64, body: Value) -> Answer {
        self.send(Method::PATCH, &format!("_apis/wit/workitems/{id}?api-version=7.1"), PATCH, Some(body))
            .await
    }

    async fn wiql(&self, query: &str) -> Answer {
        self.post("Shop%20Floor/_apis/wit/wiql?timePrecision=true&api-version=7.1", json!({"query": query}))
            .await
    }

    fn story(&self, title: &str, tags: &[&str]) -> i64 {
        self.emulator.file_item("Shop Floor", &NewItem::story(title).tagged(tags), &self.owner).unwrap()
    }

    fn pulls(&self) -> String {
        format!("{}/_apis/git/repositories/{}/pullrequests", self.repo.project_id, self.repo.id)
    }

    /// A branch with one file, and a pull request for it.
    async fn open(&self, branch: &str, file: &str, content: &str) -> i64 {
        let name = format!("refs/heads/{branch}");
        self.emulator
            .push_as(&self.repo, &name, &[SeedFile::new(file, content)], "Change", &self.bot)
            .unwrap();
        let body = json!({"sourceRefName": name, "targetRefName": "refs/heads/main", "title": branch, "description": "text"});
        let answer = self.post(&format!("{}?api-version=7.1", self.pulls()), body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()["pullRequestId"].as_i64().unwrap()
    }

    async fn pull(&self, id: i64) -> Value {
        self.get(&format!("{}/{id}?api-version=7.1", self.pulls())).await.json()
    }

    async fn evaluations(&self, id: i64) -> Vec<Value> {
        let artifact = format!("vstfs:///CodeReview/CodeReviewId/{}/{id}", self.repo.project_id);
        let path = format!(
            "{}/_apis/policy/evaluations?artifactId={artifact}&api-version=7.1-preview.1",
            self.repo.project_id
        );
        self.get(&path).await.json()["value"].as_array().unwrap().clone()
    }
}

fn basic(secret: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!(":{secret}")))
}

fn git(folder: &Path, secret: &str, args: &[&str]) -> (bool, String) {
    let output = Command::new("git")
        .current_dir(folder)
        .args([
            "-c",
            &format!("http.extraheader=Authorization: {}", basic(secret)),
            "-c",
            "credential.helper=",
        ])
        .args(["-c", "user.name=Agent", "-c", "user.email=agent@acme.example"])
        .args(args)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}
