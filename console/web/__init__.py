"""The pages of the console for people, under `/ui`: plain links and forms, made by the server."""
