"""Policy packs: loading, calendars, deadlines, dispatch. Pure: no clock, no network, no database."""
