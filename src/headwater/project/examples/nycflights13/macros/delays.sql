-- One idea of "late" for all models.
CREATE MACRO is_late(minutes) AS coalesce(minutes > ${var:late_after_minutes}, false);
