//! Values of records, compared with their schemas.

mod schemas;
