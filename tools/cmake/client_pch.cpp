// Holds the precompiled header of the clients.
