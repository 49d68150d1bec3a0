"""A turn becomes a reply: classify, route, answer."""
