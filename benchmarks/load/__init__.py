"""The running page under load: visitors who browse, visitors who bring sounds, a few in a browser, and what they are told while they wait."""
