//! Bad connections between nodes: cut in the middle of frames, with flipped bits. Messages are
//! lost by that, and nothing else may be.

use crate::support::{Counter, ToyCluster, number};
use bytes::Bytes;
use consensus_core::{NodeId, Outcome, Patience};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use synod_runtime::{NodeConfig, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a bad connection does after so many bytes.
#[derive(Clone, Copy)]
enum Fault {
    Cut,
    Flip,
}

/// Passes connections on to `target`. Each breaks after a number of bytes of its own, between 300
/// and 2,300, that follows from how many there were before.
async fn bad_link(target: SocketAddr, fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut connections = 0;
        while let Ok((near, _)) = listener.accept().await {
            connections += 1;
            let whole = 300 + connections * 7919 % 2000;
            tokio::spawn(async move {
                // However it ends, both connections are closed.
                let _ = pass(near, target, whole, fault).await;
            });
        }
    });
    address
}

async fn pass(
    mut near: TcpStream,
    target: SocketAddr,
    whole: usize,
    fault: Fault,
) -> std::io::Result<()> {
    let mut far = TcpStream::connect(target).await?;
    let (mut there, mut back) = ([0; 512], [0; 512]);
    let mut passed = 0;
    loop {
        tokio::select! {
            read = near.read(&mut there) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                // Every so many bytes, if nobody closes the connection before.
                let bad = whole - passed % whole;
                match fault {
                    Fault::Cut if bad < read => {
                        far.write_all(&there[..bad]).await?;
                        return Ok(());
                    }
                    Fault::Flip if bad < read => there[bad] ^= 0x10,
                    Fault::Cut | Fault::Flip => {}
                }
                passed += read;
                far.write_all(&there[..read]).await?;
            }
            read = far.read(&mut back) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                near.write_all(&back[..read]).await?;
            }
        }
    }
}

async fn commands_get_through(fault: Fault) {
    let mut cluster = ToyCluster::<false>::unstarted(3);
    for node in cluster.cluster.nodes().iter() {
        let mut config = NodeConfig { create: true, ..cluster.config(node) };
        for (peer, address) in &mut config.peers {
            if *peer != node {
                *address = bad_link(cluster.addresses[peer], fault).await;
            }
        }
        let handle = start(config, Counter::default()).await.expect("a fresh node starts");
        cluster.nodes.insert(node, handle);
    }
    let patience = Patience { give_up: Duration::from_secs(60), ..Patience::default() };
    let mut client = cluster.client_of(NodeId(0), patience);
    for expected in 1..=40 {
        let outcome = client.call(Bytes::from(vec![expected as u8; 200])).await;
        match outcome.expect("the client's own connection is good") {
            Outcome::Committed { result, .. } => assert_eq!(number(&result), expected),
            other => panic!("not applied: {other:?}"),
        }
    }
    // The machines look at what they apply: each has applied what was asked for.
    for node in cluster.nodes.values() {
        let mut status = node.watch_status();
        status.wait_for(|status| status.committed.0 >= 41).await.expect("it runs");
    }
}

/// A frame that was cut is not delivered, and what follows comes over a new connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_inside_frames_cost_only_time() {
    commands_get_through(Fault::Cut).await;
}

/// A flipped bit in a frame never becomes a message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flipped_bits_on_the_way_cost_only_time() {
    commands_get_through(Fault::Flip).await;
}

/// Passes connections on to `target` until it is shut: then it passes on once more what it is just
/// given, closes, and lets nobody in.
async fn door(target: SocketAddr, shut: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let shut = Arc::clone(&shut);
            tokio::spawn(async move {
                if shut.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let mut far = TcpStream::connect(target).await?;
                let (mut there, mut back) = ([0; 512], [0; 512]);
                loop {
                    tokio::select! {
                        read = near.read(&mut there) => {
                            let read = read?;
                            far.write_all(&there[..read]).await?;
                            if read == 0 || shut.load(Ordering::Relaxed) {
                                return Ok::<(), std::io::Error>(());
                            }
                        }
                        read = far.read(&mut back) => {
                            let read = read?;
                            near.write_all(&back[..read]).await?;
                            if read == 0 {
                                return Ok(());
                            }
                        }
                    }
                }
            });
        }
    });
    address
}

/// The three outcomes of a client: what left, and was not answered, may have been applied. It is
/// neither refused nor unreachable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_ends_before_the_answer_leaves_the_outcome_open() {
    let mut cluster = ToyCluster::<false>::new(1).await;
    let shut = Arc::new(AtomicBool::new(false));
    let address = door(cluster.addresses[&NodeId(0)], Arc::clone(&shut)).await;
    cluster.addresses.insert(NodeId(0), address);
    let give_up = Duration::from_secs(1);
    let mut client = cluster.client_with(Patience { give_up, ..Patience::default() });
    let mut outcome = client.call(Bytes::new()).await.expect("the door is open");
    while outcome == Outcome::Unknown {
        outcome = client.resume().await.expect("the door is open");
    }
    shut.store(true, Ordering::Relaxed);
    let outcome = client.call(Bytes::new()).await.expect("it left");
    assert_eq!(outcome, Outcome::Unknown);
    shut.store(false, Ordering::Relaxed);
    let mut outcome = Outcome::Unknown;
    while outcome == Outcome::Unknown {
        outcome = client.resume().await.expect("the door is open");
    }
    match outcome {
        Outcome::Committed { result, .. } => assert_eq!(number(&result), 2, "applied once"),
        other => panic!("not applied: {other:?}"),
    }
}
