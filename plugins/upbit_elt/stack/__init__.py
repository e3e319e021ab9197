"""The local stack: every service of the system as a supervised process of this machine (`./run`)."""
