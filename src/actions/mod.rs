//! The verbs: one file for each thing the product does. They use the tools; the doors (`http`, `consumer`) call them.
