"""The queues by name, with their titles on the page. Imports nothing: the command line needs the names."""

TITLES = {
    "review": "Needs review",
    "audit": "Audit of dismissed bursts",
    "suspects": "Suspected label errors",
    "suggest": "What to label next",
    "class": "A class, station or day",
    "search": "Search by path",
}
NAMES = tuple(TITLES)
