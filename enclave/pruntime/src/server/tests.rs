//! Villains at the routes of the public server.

use super::{
	villains::{villains_stand_still, Hoarder, Idler},
	*,
};
use crate::{executor::testing, server::connections::ConnectionLimits};
use axum::body::Body;
use codec::Encode;
use http_body_util::BodyExt;
use phala_keys::state::SealedBody;
use phala_machine::ReplicatedBody;
use std::time::Duration;
use tower::ServiceExt;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

const MEMBERS: &str = "/v1/cluster/bodies";

fn calls() -> String {
	format!("/v1/agents/{}/call", hex([7; 32]))
}

fn logs() -> String {
	format!("/v1/agents/{}/logs", hex([7; 32]))
}

/// What is answered: the status, and the name of the refusal.
async fn answer(routes: &Router, method: &str, path: &str, body: Body) -> (u16, String) {
	let request = axum::http::Request::builder().method(method).uri(path).body(body).unwrap();
	let answer = routes.clone().oneshot(request).await.unwrap();
	let status = answer.status().as_u16();
	let body = answer.into_body().collect().await.unwrap().to_bytes();
	let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
	(status, body["error"].as_str().unwrap_or_default().to_owned())
}

fn a_members_body() -> Body {
	let body = SealedBody { key_number: 0, nonce: [0; 24], ciphertext: vec![7; 1_000] };
	let (worker, boot, agent, signature) = (1, 1, H256::zero(), [0; 64]);
	let (base_hash, new_hash) = (H256::zero(), H256::repeat_byte(1));
	let brought = ReplicatedBody { worker, boot, agent, base_hash, new_hash, body, signature };
	Body::from(brought.encode())
}

#[tokio::test(start_paused = true)]
async fn idlers_on_every_route_keep_no_members_body_out_and_end_by_name() {
	let routes = public_router(testing::executor());
	let mut idlers = tokio::task::JoinSet::new();
	for path in [calls(), logs(), MEMBERS.to_owned()] {
		for _ in 0..2 * limits::SERVER_REQUESTS_MAX {
			let (routes, path) = (routes.clone(), path.clone());
			idlers.spawn(async move { answer(&routes, "POST", &path, Idler::body()).await });
		}
	}
	villains_stand_still().await;
	// It is read and looked at: this boot has no cluster yet.
	let answered = answer(&routes, "POST", MEMBERS, a_members_body()).await;
	assert_eq!(answered, (404, "NoCluster".to_owned()));
	let answered = answer(&routes, "POST", &calls(), Body::from("no call")).await;
	assert_eq!(answered, (400, "Malformed".to_owned()));
	for ended in idlers.join_all().await {
		assert_eq!(ended, (408, "BodyTime".to_owned()));
	}
}

#[tokio::test]
async fn a_path_that_is_not_there_is_refused_as_all_else_is_and_those_that_are_named() {
	let routes = public_router(testing::executor());
	for (method, path) in [("GET", "/"), ("POST", "/v1/nothing")] {
		let answered = answer(&routes, method, path, Body::empty()).await;
		assert_eq!(answered, (404, "BadRequest".to_owned()), "{method} {path}");
	}
	let request = axum::http::Request::builder().uri("/").body(Body::empty()).unwrap();
	let answer = routes.oneshot(request).await.unwrap().into_body().collect().await.unwrap();
	let said = String::from_utf8(answer.to_bytes().to_vec()).unwrap();
	assert!(said.contains("no GET / here") && said.contains("GET /v1/agents"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn hoarders_fill_the_callers_room_and_none_of_the_members() {
	let routes = public_router(testing::executor());
	let mut hoarders = tokio::task::JoinSet::new();
	for _ in 0..limits::CALLER_BODIES_BYTES_MAX / limits::SEALED_CALL_BYTES_MAX {
		let routes = routes.clone();
		let body = Hoarder::body(limits::SEALED_CALL_BYTES_MAX);
		hoarders.spawn(async move { answer(&routes, "POST", &calls(), body).await });
	}
	villains_stand_still().await;
	let answered = answer(&routes, "POST", &calls(), Body::from("a call")).await;
	assert_eq!(answered, (503, "TooManyRequests".to_owned()));
	let answered = answer(&routes, "POST", MEMBERS, a_members_body()).await;
	assert_eq!(answered, (404, "NoCluster".to_owned()));
	for ended in hoarders.join_all().await {
		assert_eq!(ended, (408, "BodyTime".to_owned()));
	}
	let answered = answer(&routes, "POST", &calls(), Body::from("a call")).await;
	assert_eq!(answered, (400, "Malformed".to_owned()));
}

#[tokio::test]
async fn code_that_nobody_wants_is_refused_before_its_body_is_read() {
	let routes = public_router(testing::executor());
	let path = format!("/v1/code/{}", hex([7; 32]));
	let answered = answer(&routes, "PUT", &path, Idler::body());
	let answered = tokio::time::timeout(PATIENCE, answered).await.unwrap();
	assert_eq!(answered, (409, "CodeNotWanted".to_owned()));
}

#[tokio::test]
async fn code_that_is_here_already_is_not_read_again() {
	let executor = testing::executor();
	let hash = phala_protocol::blake2_256(b"code");
	executor.store().put_code(hash, b"code".to_vec()).unwrap();
	let routes = public_router(executor);
	let path = format!("/v1/code/{}", hex(hash));
	let answered = answer(&routes, "PUT", &path, Idler::body());
	let answered = tokio::time::timeout(PATIENCE, answered).await.unwrap();
	assert_eq!(answered, (204, String::new()));
}

#[tokio::test]
async fn who_still_sends_when_it_is_refused_hears_why() {
	let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
	let address = listener.local_addr().unwrap();
	let routes = public_router(testing::executor());
	let limits =
		ConnectionLimits { connections_max: 8, head_wait_ms_max: limits::HEAD_WAIT_MS_MAX };
	let serving = tokio::spawn(connections::serve(listener, routes, limits));
	let client = reqwest::Client::builder().no_proxy().build().unwrap();
	for (path, bytes, expected) in [
		(format!("/v1/code/{}", hex([7; 32])), 16 * 1024 * 1024, (409, "CodeNotWanted")),
		(calls(), limits::SEALED_CALL_BYTES_MAX + 8 * 1024 * 1024, (413, "TooLong")),
	] {
		let method = if expected.0 == 409 { "PUT" } else { "POST" };
		let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
		let sending = client.request(method, format!("http://{address}{path}"));
		let answer = sending.body(vec![7; bytes]).send().await.unwrap();
		let status = answer.status().as_u16();
		let said: serde_json::Value =
			serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
		assert_eq!((status, said["error"].as_str().unwrap()), expected);
	}
	serving.abort();
}

#[tokio::test(start_paused = true)]
async fn too_long_a_body_is_refused_by_name() {
	let routes = public_router(testing::executor());
	for (path, bytes_max) in [
		(calls(), limits::SEALED_CALL_BYTES_MAX),
		(logs(), limits::LOGS_QUERY_BYTES_MAX),
		(MEMBERS.to_owned(), limits::PEER_BODY_BYTES_MAX),
	] {
		let fits = answer(&routes, "POST", &path, Body::from(vec![7; bytes_max])).await;
		assert_eq!(fits, (400, "Malformed".to_owned()), "{path}");
		let refused = answer(&routes, "POST", &path, Body::from(vec![7; bytes_max + 1])).await;
		assert_eq!(refused, (413, "TooLong".to_owned()), "{path}");
	}
}
