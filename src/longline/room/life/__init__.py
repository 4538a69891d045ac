"""How clients come, stay and leave: admission, takeovers, departures, draining, pressure."""
