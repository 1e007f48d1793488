//! Where chat asks a language model: a local stand-in, or what `OPENAI_BASE_URL` names.
//!
//! The stand-in speaks OpenAI's chat completions, wants the key that was sealed to the agent, and
//! always gives the same answer to the same question.

use crate::{commands::build::Built, randomness};
use anyhow::{ensure, Context};
use axum::{
	extract::State,
	http::{header::AUTHORIZATION, HeaderMap, StatusCode},
	routing::post,
	Json, Router,
};
use serde_json::{json, Value};
use std::sync::Arc;
use tokio::net::TcpListener;

/// Names another endpoint, as in `https://api.openai.com/v1`.
pub const URL_VARIABLE: &str = "OPENAI_BASE_URL";
/// Its key.
pub const KEY_VARIABLE: &str = "OPENAI_API_KEY";
/// Its model; that of agent.toml if not set.
pub const MODEL_VARIABLE: &str = "OPENAI_MODEL";

/// The name of the agent's secret, as its agent.toml declares it.
pub const SECRET: &str = "API_KEY";

const STAND_IN_MODEL: &str = "stand-in";

/// An endpoint that speaks OpenAI's chat completions.
pub struct Endpoint {
	pub base_url: url::Url,
	pub key: String,
	pub model: Option<String>,
	pub is_stand_in: bool,
}

impl Endpoint {
	/// That of [`URL_VARIABLE`], or else a stand-in, which serves as long as this process runs.
	pub async fn find() -> anyhow::Result<Self> {
		let set = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
		let Some(url) = set(URL_VARIABLE) else {
			return stand_in().await.context("cannot start the local chat server");
		};
		let base_url: url::Url =
			url.trim().parse().with_context(|| {
				format!("{URL_VARIABLE} was refused: {url:?} is no URL, as in https://api.openai.com/v1")
			})?;
		ensure!(
			["http", "https"].contains(&base_url.scheme()) && base_url.has_host(),
			"{URL_VARIABLE} was refused: {url:?} is neither http nor https"
		);
		// Some endpoints on one's own machine want no key; the agent sends one all the same.
		let key = set(KEY_VARIABLE).unwrap_or_else(|| "none".into());
		Ok(Self { base_url, key, model: set(MODEL_VARIABLE), is_stand_in: false })
	}

	/// `host:port` if it is on loopback, which agents reach in development only.
	pub fn loopback(&self) -> Option<String> {
		super::prices::is_loopback(&self.base_url).then(|| super::prices::authority(&self.base_url))
	}

	/// The agent with this endpoint in place of its own.
	pub fn put_into(&self, built: Built) -> anyhow::Result<Built> {
		let mut manifest: Value = serde_json::from_slice(&built.manifest)?;
		let origin =
			format!("{}://{}", self.base_url.scheme(), super::prices::authority(&self.base_url));
		manifest["egress"] = json!([origin]);
		manifest["config"]["base_url"] = self.base_url.as_str().trim_end_matches('/').into();
		if let Some(model) = &self.model {
			manifest["config"]["model"] = model.as_str().into();
		}
		Ok(Built { manifest: serde_json::to_vec_pretty(&manifest)?, ..built })
	}
}

async fn stand_in() -> anyhow::Result<Endpoint> {
	let key = format!("sk-stand-in-{}", hex::encode(randomness::bytes::<16>()?));
	let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
	let base_url = format!("http://{}/v1", listener.local_addr()?).parse()?;
	let router = Router::new()
		.route("/v1/chat/completions", post(complete))
		.with_state(Arc::<str>::from(format!("Bearer {key}")));
	tokio::spawn(async move { axum::serve(listener, router).await });
	Ok(Endpoint { base_url, key, model: Some(STAND_IN_MODEL.into()), is_stand_in: true })
}

async fn complete(
	State(expected): State<Arc<str>>,
	headers: HeaderMap,
	Json(asked): Json<Value>,
) -> (StatusCode, Json<Value>) {
	let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
	if shown != Some(&*expected) {
		let error =
			json!({ "error": { "message": "the key is wrong", "code": "invalid_api_key" } });
		return (StatusCode::UNAUTHORIZED, Json(error));
	}
	let messages = asked["messages"].as_array().cloned().unwrap_or_default();
	let question = messages.last().and_then(|message| message["content"].as_str()).unwrap_or("");
	let reply = format!("This is no language model, but a stand-in. You asked: {question}");
	let completion = json!({
		"id": "chatcmpl-stand-in",
		"object": "chat.completion",
		"created": 0,
		"model": asked["model"],
		"choices": [{ "index": 0, "message": { "role": "assistant", "content": reply }, "finish_reason": "stop" }],
		"usage": { "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0 },
	});
	(StatusCode::OK, Json(completion))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[tokio::test]
	async fn the_stand_in_answers_who_has_the_key_and_nobody_else() {
		let endpoint = stand_in().await.unwrap();
		let ask = |key: String| {
			let question =
				json!({ "model": "m", "messages": [{ "role": "user", "content": "Why?" }] });
			let url = format!("{}/chat/completions", endpoint.base_url);
			async move {
				let client = reqwest::Client::new();
				client.post(url).bearer_auth(key).json(&question).send().await.unwrap()
			}
		};
		let answer: Value = ask(endpoint.key.clone()).await.json().await.unwrap();
		let reply = answer["choices"][0]["message"]["content"].as_str().unwrap();
		assert!(reply.ends_with("Why?"), "{reply}");
		assert_eq!(ask("other".into()).await.status(), StatusCode::UNAUTHORIZED);
	}

	#[tokio::test]
	async fn the_agent_may_reach_the_endpoint_and_nothing_else() {
		let endpoint = stand_in().await.unwrap();
		let manifest = json!({ "name": "chat", "egress": ["api.openai.com"], "secrets": [SECRET], "config": { "model": "x", "system": "y" } });
		let built = Built {
			name: "chat".into(),
			component: vec![],
			manifest: manifest.to_string().into_bytes(),
		};
		let built = endpoint.put_into(built).unwrap();
		let manifest: phala_agent_manifest::Manifest =
			serde_json::from_slice(&built.manifest).unwrap();
		manifest.check().unwrap();
		assert_eq!(manifest.egress.len(), 1);
		assert!(manifest.config["base_url"].contains(&endpoint.loopback().unwrap()));
		assert_eq!(
			(manifest.config["model"].as_str(), manifest.config["system"].as_str()),
			(STAND_IN_MODEL, "y")
		);
	}
}
