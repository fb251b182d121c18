//! The wish of the system or of the person at the terminal that this process stop.

use tokio::signal;

/// Ends at ctrl-c, or when the system asks the process to stop (SIGTERM).
#[cfg(unix)]
pub(crate) async fn stop_wish() {
    match signal::unix::signal(signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                () = ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => ctrl_c().await,
    }
}

/// Ends at ctrl-c.
#[cfg(not(unix))]
pub(crate) async fn stop_wish() {
    ctrl_c().await;
}

async fn ctrl_c() {
    if signal::ctrl_c().await.is_err() {
        // Ctrl-c cannot be heard here; it then ends the process at once.
        std::future::pending::<()>().await;
    }
}

/// Ends when stdin does: the program at the other end of the pipe is gone. What comes on stdin is
/// ignored. The read sits in a thread of its own, because nothing can interrupt it.
pub(crate) async fn stdin_closed() {
    let (closed, hears) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let ended = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(ended);
        let _ = closed.send(());
    });
    // If the thread cannot say so, it ended, and so did stdin.
    drop(hears.await);
}
