//! Whether a cluster's keys are lost, and with them what its agents kept.

use crate::{commands::status, failure::CommandError, limits};
use phala_chain_client::{agents, clusters, Chain};
use phala_protocol::mailbox::ClusterId;
use std::convert::Infallible;

/// Refuses what nobody will ever carry out: see [`lost_keys`].
pub async fn check_keys(chain: &Chain, cluster: ClusterId) -> anyhow::Result<()> {
	lost_keys(chain, cluster).await?.map_or(Ok(()), Err)
}

/// Ends when nobody will ever read the state of a cluster's agents again, with what is left to do.
pub(super) async fn keys_lost(chain: &Chain, cluster: ClusterId) -> anyhow::Error {
	loop {
		if let Ok(Some(lost)) = lost_keys(chain, cluster).await {
			return lost;
		}
		tokio::time::sleep(limits::PROGRESS_EVERY).await;
	}
}

/// Why no agent of a cluster that had a state answers any more, if that is for good: every member says that
/// it has none of the cluster's keys, and the master key under which the chain has them serves no more.
pub async fn lost_keys(chain: &Chain, cluster: ClusterId) -> anyhow::Result<Option<anyhow::Error>> {
	if !clusters::keys_are_overtaken(chain, cluster).await? {
		return Ok(None);
	}
	// Where nothing was written yet members make others.
	let agents = agents::all(chain, chain.finalized_head().await?).await?;
	if !agents.iter().any(|(_, record)| record.cluster == cluster && record.version > 0) {
		return Ok(None);
	}
	let said = status::of_all(clusters::members(chain, cluster).await?, None).await;
	Ok(has_nobody_keys(said.iter().map(|(_, said)| said)).then(|| {
		let message = format!(
			"the keys of cluster {cluster} are lost, and with them the state of its agents, for good: all of its members and the gatekeeper started anew at once, as each of the members says. If they say so still after some four minutes, each owner gives its agent up with `phala agent retire`; once none is left the members make new keys, within some four minutes, so that `phala deploy` may have to be run twice. On a development network, start `phala network up` again"
		);
		CommandError::new("KeysLost", message).into()
	}))
}

/// Says once that a cluster's members make its keys anew, if they do: births wait for that. Does not end.
pub(super) async fn tell_of_new_keys(chain: &Chain, cluster: ClusterId) -> Infallible {
	loop {
		tokio::time::sleep(limits::KEYS_USUAL).await;
		let Ok(members) = clusters::members(chain, cluster).await else { continue };
		let said = status::of_all(members, None).await;
		if has_nobody_keys(said.iter().map(|(_, said)| said)) {
			say!("  no worker of cluster {cluster} has its keys yet, and the birth waits for them: where all were lost they are made anew, within some four minutes");
			return std::future::pending().await;
		}
	}
}

/// Who does not answer may have them.
fn has_nobody_keys<'a>(mut said: impl Iterator<Item = &'a anyhow::Result<status::Said>>) -> bool {
	said.all(|said| said.as_ref().is_ok_and(|(info, _)| info.cluster_keys == Some(false)))
}

#[cfg(test)]
mod tests {
	use super::*;
	use serde_json::json;

	#[test]
	fn keys_are_lost_where_each_member_says_that_it_has_none() {
		let said = |keys: Option<bool>| {
			let info = json!({ "phase": "serving", "clusterKeys": keys });
			Ok((serde_json::from_value(info).unwrap(), Vec::new()))
		};
		let lost = |all: &[anyhow::Result<status::Said>]| has_nobody_keys(all.iter());
		assert!(lost(&[said(Some(false)), said(Some(false))]));
		for other in [said(Some(true)), said(None), Err(anyhow::anyhow!("it hangs"))] {
			assert!(!lost(&[said(Some(false)), other]));
		}
	}
}
