"""How clients come, stay and leave: admission, takeovers, departures, draining, and taking in less under pressure."""
