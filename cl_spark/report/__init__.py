"""The frame of every report: sections, the page that renders them, and values that are images or texts."""
