//! An agent's registration on the chain.

use crate::{commands::status, deployed::Deployments, limits};
use anyhow::Context;
use phala_chain_client::{
	agents::{self, Deployment},
	clusters,
	transactions::SignedTransaction,
	Chain, ChainClientError, Sender,
};
use phala_protocol::{agents::AgentId, mailbox::ClusterId};

/// Registers an agent, and writes that down from before it is submitted.
pub async fn register(
	chain: &Chain,
	owner: &Sender,
	deployments: &Deployments,
	deployment: &Deployment,
) -> anyhow::Result<AgentId> {
	let call = agents::register_call(deployment);
	let before = |signed: &SignedTransaction| deployments.before_submission(signed.at);
	let pending = owner.submit_after(call, before).await?;
	let at = pending.at;
	let included = match pending.included().await {
		Ok(included) => included,
		Err(error @ ChainClientError::NotIncluded { .. }) => {
			return Err(error).context("`phala deploy` once more goes on with it");
		}
		Err(error) => {
			if matches!(error, ChainClientError::Dispatch { .. })
				&& at.stays_refused(chain).await.unwrap_or(false)
			{
				deployments.forget(at)?;
			}
			return Err(error.into());
		}
	};
	let agent = agents::registered(&included)?;
	deployments.registered(at, agent)?;
	Ok(agent)
}

/// Refuses a cluster of which no member says who it is: nobody would take the code.
pub async fn check_somebody_is_there(
	cluster: ClusterId,
	members: &[clusters::Member],
) -> anyhow::Result<()> {
	let asked = members.iter().map(|member| async move {
		let asking = tokio::time::timeout(limits::STATUS_MAX, status::info(&member.endpoint)).await;
		matches!(asking, Ok(Ok(_)))
	});
	if !futures::future::join_all(asked).await.contains(&true) {
		refuse!(
			"Unanswered",
			"no worker of cluster {cluster} answers: nothing was registered, and nothing was paid. `phala cluster status {cluster}` shows where they should be; try again when one is there"
		);
	}
	Ok(())
}
