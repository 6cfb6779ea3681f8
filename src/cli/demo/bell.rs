//! A doorbell that can be heard: the receiver of the demo's webhook. Remembers what it was rung with.

use axum::{Router, body::Bytes, extract::State, routing::post};
use serde_json::Value;
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// A receiver on a free local port.
pub(super) struct Bell {
    url: String,
    rings: Arc<Mutex<Vec<Value>>>,
    task: JoinHandle<()>,
}

type Rings = Arc<Mutex<Vec<Value>>>;

impl Bell {
    pub(super) async fn hang() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}/ring", listener.local_addr()?);
        let rings = Rings::default();
        let service = Router::new().route("/ring", post(ring)).with_state(rings.clone());
        let task = tokio::spawn(async move {
            // Ends by being aborted.
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self { url, rings, task })
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    pub(super) fn rings(&self) -> Vec<Value> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn ring(State(rings): State<Rings>, body: Bytes) {
    if let Ok(ring) = serde_json::from_slice(&body) {
        rings.lock().unwrap_or_else(PoisonError::into_inner).push(ring);
    }
}
