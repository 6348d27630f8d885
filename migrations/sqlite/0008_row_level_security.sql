-- SQLite has no row-level security. The PostgreSQL twin adds it; tables and columns stay the same.
SELECT 1;
