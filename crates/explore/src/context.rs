//! What is the same in every state of a model.

use crate::bounds::{Bounds, TICK};
use crate::state::MAX_NODES;
use crate::symmetry::Symmetry;
use bytes::Bytes;
use consensus_core::{
    Audit, AuthMeter, Authenticator, Batch, ClientId, Cluster, ClusterId, Command, ConfigError,
    Delay, Env, Links, NodeId, NodeSet, RequestId, SessionId, Signer, Tag,
};
use std::fmt;
use synod_sim::SimKeys;

/// A model that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadModel(pub String);

impl fmt::Display for BadModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadModel {}

/// Cluster, keys, settings, commands and bounds.
pub(crate) struct Context<P: Audit> {
    /// As the nodes know it that vote in the beginning.
    pub(crate) cluster: Cluster,
    /// As the nodes know it that may join.
    joining: Cluster,
    pub(crate) config: P::Config,
    joining_config: P::Config,
    pub(crate) bounds: Bounds,
    pub(crate) commands: Vec<Batch>,
    /// Nodes that may swap their names.
    pub(crate) symmetry: Symmetry,
    keys: Vec<SimKeys>,
    meter: AuthMeter,
}

impl<P: Audit> Context<P> {
    pub(crate) fn new(
        bounds: Bounds,
        configure: impl Fn(&Cluster) -> Result<P::Config, ConfigError>,
    ) -> Result<Self, BadModel> {
        let bad = |text: String| Err(BadModel(text));
        if bounds.nodes == 0 || bounds.all() > MAX_NODES {
            return bad(format!("a model has 1 to {MAX_NODES} replicas, not {}", bounds.all()));
        }
        if bounds.chunk == 0 {
            return bad("a message about a snapshot carries some of it, not 0 bytes".to_owned());
        }
        if P::INFO.links == Links::Fifo {
            return bad(format!("{} needs FIFO links, which are not modelled", P::INFO.name));
        }
        let all = NodeSet::first(bounds.all());
        let faults = P::INFO.max_faults(bounds.nodes);
        let lying = bounds.traitors.len();
        if lying > 0 && P::INFO.faults == consensus_core::FaultModel::Crash {
            return bad(format!("{} is not made for traitors", P::INFO.name));
        }
        if lying > faults || !bounds.traitors.minus(all).is_empty() {
            return bad(format!("{} of {} replicas may lie at most", faults, bounds.nodes));
        }
        let id = ClusterId(0x5e);
        let voters = NodeSet::first(bounds.nodes);
        let cluster = Cluster { voters, ..Cluster::new(id, bounds.all()) };
        let joining = Cluster { voters: NodeSet::EMPTY, ..cluster.clone() };
        let configure = |cluster| configure(cluster).map_err(|error| BadModel(error.to_string()));
        let config = configure(&cluster)?;
        let joining_config = if bounds.joiners > 0 { configure(&joining)? } else { config.clone() };
        let key = |node| SimKeys::new(SEED, Signer::Node(NodeId(node as u8)));
        Ok(Self {
            symmetry: Symmetry::of::<P>(&bounds, &config),
            config,
            joining_config,
            joining,
            commands: (0..bounds.commands).map(|nth| command(id, nth)).collect(),
            keys: (0..bounds.all()).map(key).collect(),
            meter: AuthMeter::default(),
            cluster,
            bounds,
        })
    }

    /// The world as this node sees it after so many ticks.
    pub(crate) fn env(&self, node: NodeId, ticks: u8) -> Env<'_> {
        let votes = self.cluster.voters.contains(node);
        let cluster = if votes { &self.cluster } else { &self.joining };
        Env::new(TICK * u32::from(ticks), cluster, &self.keys[node.index()], &self.meter)
    }

    /// Ticks after which a timer may fire.
    pub(crate) fn ticks_of(&self, delay: Delay) -> u8 {
        let ticks = delay.min.as_nanos().div_ceil(TICK.as_nanos());
        match self.bounds.ticks {
            None => 0,
            Some(_) => u8::try_from(ticks).unwrap_or(u8::MAX),
        }
    }

    /// The settings of this node.
    pub(crate) fn config_of(&self, node: NodeId) -> &P::Config {
        if self.cluster.voters.contains(node) { &self.config } else { &self.joining_config }
    }

    pub(crate) fn is_correct(&self, node: NodeId) -> bool {
        !self.bounds.traitors.contains(node)
    }

    /// The nodes that do not lie.
    pub(crate) fn correct(&self) -> NodeSet {
        self.cluster.nodes().minus(self.bounds.traitors)
    }
}

/// All keys derive from it.
const SEED: u64 = 1;

/// The nth command: of a client of its own, signed by it.
fn command(cluster: ClusterId, nth: u8) -> Batch {
    let client = ClientId(u64::from(nth) + 1);
    let mut command = Command {
        client,
        session: SessionId(1),
        request: RequestId(1),
        payload: Bytes::copy_from_slice(&[b'a' + nth % 26]),
        tag: Tag::none(),
    };
    let bytes = command.signed_bytes(cluster);
    command.tag = SimKeys::new(SEED, Signer::Client(client)).sign(&bytes);
    Batch::of(&[command])
}
