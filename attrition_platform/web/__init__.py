"""What both web applications share: names of this machine, headers, the style sheet."""
