//! Crash points for the chaos tests. Without the cargo feature `chaos` these macros expand to nothing.

#[cfg(feature = "chaos")]
pub mod armed;

/// Marks a crash point: a step at which the process may be killed, stopped, delayed or panic, as its environment says.
macro_rules! point {
    ($point:ident) => {
        #[cfg(feature = "chaos")]
        $crate::faults::armed::pass($crate::config::faults::Point::$point).await;
    };
}

/// Panics when a title contains a certain mark.
macro_rules! panic_over {
    ($title:expr) => {
        #[cfg(feature = "chaos")]
        $crate::faults::armed::panic_over($title);
    };
}

pub(crate) use {panic_over, point};
