//! What stands between a role and its PostgreSQL.

use crate::config::DatabaseConfig;
use crate::domain::Finding;

pub(super) async fn check(_config: &DatabaseConfig) -> Vec<Finding> {
    Vec::new()
}
